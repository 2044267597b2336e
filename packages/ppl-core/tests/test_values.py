"""Values may be tensors, numbers, lists or arrays, wherever a program is given one."""

import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import SupportError
from ppl.primitives import param, sample
from ppl.validation import validation_enabled

from .distribution.families import Bernoulli, Categorical, Normal

FORMS = {
    "tensor": (torch.tensor(2.0), torch.tensor(2.0)),
    "float": (2.0, torch.tensor(2.0)),
    "int": (2, torch.tensor(2.0)),
    "bool": (True, torch.tensor(1.0)),
    "numpy number": (np.float32(2.0), torch.tensor(2.0)),
    "numpy integer": (np.int64(2), torch.tensor(2)),
    "array": (np.array([2.0, 3.0]), torch.tensor([2.0, 3.0], dtype=torch.float64)),
    "list": ([2, 3.0], torch.tensor([2.0, 3.0])),
    "list of ints": ([2, 3], torch.tensor([2.0, 3.0])),
    "tuple": ((2.0, 3.0), torch.tensor([2.0, 3.0])),
    "nested list": ([[2.0], [3.0]], torch.tensor([[2.0], [3.0]])),
}


def latent():
    return sample("x", Normal(0.0, 1.0))


WAYS = {
    "obs": lambda value: poutine.trace(lambda: sample("x", Normal(0.0, 1.0), obs=value))(),
    "condition": lambda value: poutine.condition(latent, data={"x": value})(),
    "do": lambda value: poutine.do(latent, data={"x": value})(),
    "substitute": lambda value: poutine.substitute(latent, data={"x": value})(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_a_value_of_any_form_becomes_a_tensor(way, form):
    given, expected = FORMS[form]
    assert_close(WAYS[way](given), expected)


@pytest.mark.parametrize("form", [f for f in FORMS if "list" not in f and f != "tuple"])
def test_a_parameter_can_be_substituted_in_any_form(form):
    given, expected = FORMS[form]
    program = poutine.substitute(lambda: param("w", torch.tensor(0.0)), data={"w": given})
    assert_close(program(), expected)


@pytest.mark.parametrize("given", [1, [1, 0], (1, 0)])
def test_categories_stay_integers(given):
    program = poutine.condition(lambda: sample("k", Categorical(torch.ones(3))), data={"k": given})
    value = program()
    assert value.dtype is torch.int64
    assert value.tolist() == (list(given) if isinstance(given, tuple) else given)


def test_counts_of_several_numbers_of_trials_may_be_a_list():
    fn = torch.distributions.Binomial(torch.tensor([3.0, 5.0]), torch.tensor(0.5))
    with poutine.trace() as traced:
        sample("k", fn, obs=[1, 2])
    assert_close(traced.trace.nodes["k"]["value"], torch.tensor([1.0, 2.0]))
    assert traced.trace.log_prob_sum().isfinite()


def test_what_a_function_returns_is_left_alone():
    with poutine.condition(data={"x": ["a", "b"]}):
        assert sample("x", lambda: None) == ["a", "b"]


def test_an_observed_list_outside_inference_is_a_tensor():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(sample("x", Normal(0.0, 1.0), obs=[1.0]), torch.ones(1))


# every distribution of torch is welcome at a sample site

t = torch.tensor
td = torch.distributions
TORCH = [
    td.Bernoulli(t(0.3)),
    td.Beta(t(2.0), t(3.0)),
    td.Binomial(5, t(0.3)),
    td.Categorical(torch.ones(3)),
    td.Cauchy(t(0.0), t(1.0)),
    td.Chi2(t(3.0)),
    td.ContinuousBernoulli(t(0.3)),
    td.Dirichlet(torch.ones(3)),
    td.Exponential(t(2.0)),
    td.FisherSnedecor(t(3.0), t(4.0)),
    td.Gamma(t(2.0), t(3.0)),
    td.GeneralizedPareto(t(0.0), t(1.0), t(0.1)),
    td.Geometric(t(0.3)),
    td.Gumbel(t(0.0), t(1.0)),
    td.HalfCauchy(t(1.0)),
    td.HalfNormal(t(1.0)),
    td.Independent(td.Normal(torch.zeros(3), 1.0), 1),
    td.InverseGamma(t(3.0), t(2.0)),
    td.Kumaraswamy(t(2.0), t(3.0)),
    td.LKJCholesky(3, t(1.0)),
    td.Laplace(t(0.0), t(1.0)),
    td.LogNormal(t(0.0), t(1.0)),
    td.LogisticNormal(torch.zeros(2), torch.ones(2)),
    td.LowRankMultivariateNormal(torch.zeros(2), torch.ones(2, 1), torch.ones(2)),
    td.MixtureSameFamily(td.Categorical(torch.ones(2)), td.Normal(torch.zeros(2), 1.0)),
    td.Multinomial(4, torch.ones(3)),
    td.MultivariateNormal(torch.zeros(2), torch.eye(2)),
    td.NegativeBinomial(t(3.0), t(0.3)),
    td.Normal(t(0.0), t(1.0)),
    td.OneHotCategorical(torch.ones(3)),
    td.OneHotCategoricalStraightThrough(torch.ones(3)),
    td.Pareto(t(1.0), t(3.0)),
    td.Poisson(t(3.0)),
    td.RelaxedBernoulli(t(1.0), t(0.3)),
    td.RelaxedOneHotCategorical(t(1.0), torch.ones(3)),
    td.StudentT(t(3.0)),
    td.TransformedDistribution(td.Normal(t(0.0), t(1.0)), [td.ExpTransform()]),
    td.Uniform(t(0.0), t(1.0)),
    td.VonMises(t(0.0), t(1.0)),
    td.Weibull(t(1.0), t(2.0)),
    td.Wishart(t(3.0), torch.eye(2)),
]
ABSTRACT = {"Distribution", "ExponentialFamily"}


def test_the_list_holds_every_distribution_of_torch():
    known = {
        name
        for name in td.__all__
        if isinstance(getattr(td, name), type) and issubclass(getattr(td, name), td.Distribution)
    }
    assert known - ABSTRACT - {type(fn).__name__ for fn in TORCH} == set()


@pytest.mark.parametrize("fn", TORCH, ids=lambda fn: type(fn).__name__)
def test_a_sample_site_takes_any_distribution_of_torch(fn):
    trace = poutine.trace(lambda: sample("x", fn)).get_trace()
    site = trace.nodes["x"]
    assert isinstance(site["fn"], type(fn))
    assert site["value"].shape == fn.batch_shape + fn.event_shape
    assert_close(trace.log_prob_sum(), fn.log_prob(site["value"]))


# Labels are what tables hold, integers or booleans: that they are values was the missing law.


@pytest.mark.parametrize("labels", [[0, 1, 1], [False, True, True]])
@pytest.mark.parametrize("make", [torch.tensor, np.array])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: d.to_event(1), lambda d: d.mask(True), lambda d: d.expand([3])]
)
def test_integer_and_boolean_labels_score_like_floats(labels, make, dtype, wrap):
    d = wrap(Bernoulli(torch.full((3,), 0.3, dtype=dtype)))
    with poutine.trace() as traced:
        sample("y", d, obs=make(labels))
    want = d.log_prob(torch.tensor(labels).to(dtype)).sum()
    assert_close(traced.trace.log_prob_sum(), want)


def test_one_nan_in_the_data_is_counted_and_found():
    data = torch.zeros(2, 3)
    data[1, 2] = torch.nan
    with poutine.trace() as traced:
        sample("y", Normal(torch.zeros(2, 3), 1.0), obs=data)
    cure = r"1 of 6 values are nan, the first at index \[1, 2\].*obs_mask.*NanMaskedNormal"
    with validation_enabled(), pytest.raises(SupportError, match=cure):
        traced.trace.log_prob_sum()


@pytest.mark.parametrize("fn", [Normal(0.0, 1.0), Normal(torch.zeros(2), 1.0).to_event(1)])
def test_complex_observations_of_real_variables_are_refused(fn):
    with pytest.raises(TypeError, match=r"site 'x'.*complex64.*\.real"):
        poutine.trace(lambda: sample("x", fn, obs=torch.ones(2) + 1j)).get_trace()
