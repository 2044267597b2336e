"""Parameters may be what people have: arrays, numpy scalars and integers are like floats."""

import inspect

import numpy as np
import pytest
import torch

import ppl.distributions as dist
from ppl.errors import PPLError

FAMILIES = [
    (dist.Normal, (1, 2)),
    (dist.Laplace, (1, 2)),
    (dist.Cauchy, (1, 2)),
    (dist.Gumbel, (1, 2)),
    (dist.Gamma, (1, 2)),
    (dist.Beta, (1, 2)),
    (dist.LogNormal, (1, 2)),
    (dist.Exponential, (2,)),
    (dist.HalfNormal, (2,)),
    (dist.HalfCauchy, (2,)),
    (dist.Poisson, (2,)),
    (dist.Weibull, (1, 2)),
    (dist.Pareto, (1, 2)),
    (dist.StudentT, (3, 1, 2)),
    (dist.InverseGamma, (1, 2)),
    (dist.Kumaraswamy, (1, 2)),
    (dist.Uniform, (1, 2)),
    (dist.VonMises, (1, 2)),
    (dist.Logistic, (1, 2)),
]
KINDS = [torch.tensor, np.int64, np.float32, lambda x: np.array([x, x]), lambda x: np.array(x)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family, params", FAMILIES)
def test_parameters_of_every_kind_are_numbers(family, params, kind):
    d = family(*map(kind, params))
    value = d.sample()
    want = family(*map(float, params)).log_prob(value.float())
    assert d.log_prob(value).is_floating_point()
    torch.testing.assert_close(d.log_prob(value), want, check_dtype=False)


def test_integers_become_the_type_of_the_other_parameters():
    d = dist.Normal(torch.tensor(1), torch.tensor(2.0, dtype=torch.float64))
    assert d.sample().dtype == d.mean.dtype == torch.float64


def test_what_counts_or_points_stays_an_integer():
    assert dist.Delta(torch.tensor(3)).sample().dtype == torch.int64
    assert dist.Multinomial(np.int64(4), torch.ones(3)).total_count == 4


CLASSES = sorted(
    {
        cls
        for cls in map(vars(dist).get, dist.__all__ if hasattr(dist, "__all__") else dir(dist))
        if isinstance(cls, type) and issubclass(cls, dist.TorchDistribution)
    },
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_argument_that_is_misspelt_is_answered_with_the_nearest(cls):
    parameters = inspect.signature(cls).parameters
    for name in (n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD):
        with pytest.raises(TypeError, match=f"{cls.__name__} takes no argument.*did you mean") as e:
            cls(**{name + "x": 1.0})
        assert isinstance(e.value, PPLError) and repr(name) in str(e.value)


def test_an_argument_that_is_missing_is_named():
    with pytest.raises(TypeError, match="Gamma: missing a required argument: 'rate'"):
        dist.Gamma(1.0)
