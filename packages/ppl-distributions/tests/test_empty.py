"""A batch without members has the shapes of its family, and scores nothing."""

import contextlib
import pickle

import pytest
import torch

import ppl
import ppl.distributions as dist

from .cases import CASES

SHAPES = [(0,), (2, 0)]


def expanded(case, shape):
    family = case.make(**case.parameters())
    return family.expand(shape + family.batch_shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_family_draws_and_scores_an_empty_batch(case, shape):
    empty = expanded(case, shape)
    value = empty.sample()
    assert value.shape == empty.shape()
    assert empty.log_prob(value).shape == empty.batch_shape
    assert empty.to_event(1).log_prob(value).shape == empty.batch_shape[:-1]
    assert empty.mask(False).log_prob(value).shape == empty.batch_shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_draws_of_every_family_score_nothing(case):
    family = case.make(**case.parameters())
    draws = family.sample((0,))
    assert draws.shape == family.shape((0,))
    assert family.log_prob(draws).shape == (0, *family.batch_shape)


@pytest.mark.parametrize("name", ["mean", "variance"])
@pytest.mark.parametrize("case", [case for case in CASES if case.has_moments], ids=str)
def test_moments_of_an_empty_batch_have_the_shape_of_draws(case, name):
    empty = expanded(case, (0,))
    try:
        moment = getattr(empty, name)
    except NotImplementedError:
        pytest.skip("the family has none")
    assert moment.shape == empty.shape()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_entropy_and_support_of_an_empty_batch(case):
    empty = expanded(case, (0,))
    with contextlib.suppress(NotImplementedError):
        assert empty.entropy().shape == empty.batch_shape
    if empty.has_enumerate_support:
        assert empty.enumerate_support().shape[1:] == empty.shape()


@pytest.mark.parametrize(
    "make",
    [
        lambda: dist.Beta(torch.ones(0), torch.ones(0)),
        lambda: dist.Dirichlet(torch.ones(0, 3)),
        lambda: dist.MultivariateNormal(torch.zeros(0, 2), torch.eye(2)),
        lambda: dist.Multinomial(4, torch.ones(0, 3)),
        lambda: dist.Binomial(torch.ones(0), torch.ones(0) / 2),
        lambda: dist.Delta(torch.ones(0, 2), event_dim=1),
    ],
)
def test_parameters_may_be_empty_and_a_plate_without_rows_scores_zero(make):
    def model(value):
        with ppl.plate("rows", 0):
            ppl.sample("x", make(), obs=value)

    value = pickle.loads(pickle.dumps(make())).sample()
    assert ppl.poutine.trace(model).get_trace(value).log_prob_sum() == 0
