"""A batch without members has the shapes of its family, and scores nothing."""

import pytest
import torch

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.distributions.transforms import ExpTransform

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
    assert empty.to_event().log_prob(value) == 0
    for mask in (False, torch.ones(empty.batch_shape, dtype=torch.bool)):
        assert empty.mask(mask).log_prob(value).shape == empty.batch_shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_draws_of_every_family_score_nothing(case):
    family = case.make(**case.parameters())
    draws = family.sample((0,))
    assert draws.shape == family.shape((0,))
    assert family.log_prob(draws).shape == (0, *family.batch_shape)
    assert family.to_event().log_prob(draws).shape == (0,)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters_of_every_family_may_be_empty(case):
    empty = case.make(**{name: value[:0] for name, value in case.parameters().items()})
    value = empty.sample()
    assert value.shape == empty.shape() and empty.batch_shape[0] == 0
    assert empty.log_prob(value).shape == empty.batch_shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_plate_without_rows_scores_zero_for_every_family(case):
    family = case.members()[0]

    def model(value=None):
        with ppl.plate("rows", 0):
            return ppl.sample("x", family, obs=value)

    trace = poutine.trace(model).get_trace()
    assert trace.log_prob_sum() == 0
    value = trace.nodes["x"]["value"]
    assert poutine.trace(model).get_trace(value).log_prob_sum() == 0


@pytest.mark.parametrize("name", ["mean", "variance"])
@pytest.mark.parametrize("case", [case for case in CASES if case.has_moments], ids=str)
def test_moments_of_an_empty_batch_have_the_shape_of_draws(case, name):
    empty = expanded(case, (0,))
    assert getattr(empty, name).shape == empty.shape()


@pytest.mark.parametrize("case", [case for case in CASES if case.has_cdf], ids=str)
def test_cdf_and_icdf_of_an_empty_batch(case):
    empty = expanded(case, (0,))
    level = empty.cdf(empty.sample())
    assert level.shape == empty.batch_shape
    if case.has_icdf:
        assert empty.icdf(level).shape == empty.batch_shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_entropy_and_support_of_an_empty_batch(case):
    family, empty = case.dist(), expanded(case, (0,))
    try:
        family.entropy()
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            empty.entropy()
    else:
        assert empty.entropy().shape == empty.batch_shape
    if empty.has_enumerate_support:
        assert empty.enumerate_support().shape[1:] == empty.shape()


COMPOSITES = {
    "independent": lambda: dist.Normal(torch.zeros(0, 3), 1.0).to_event(1),
    "transformed": lambda: dist.TransformedDistribution(
        dist.Normal(torch.zeros(0, 3), 1.0).to_event(1), [ExpTransform()]
    ),
    "mixture": lambda: dist.MixtureSameFamily(
        dist.Categorical(torch.ones(0, 4)), dist.Normal(torch.zeros(0, 4, 3), 1.0).to_event(1)
    ),
    "masked_mixture": lambda: dist.MaskedMixture(
        torch.ones(0).bool(), dist.Dirichlet(torch.ones(3)), dist.Dirichlet(torch.ones(3))
    ),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_what_is_made_of_empty_batches_is_empty(name):
    composite = COMPOSITES[name]()
    value = composite.sample()
    assert value.shape == (0, 3)
    assert composite.log_prob(value).shape == (0,)


def test_the_divergence_of_empty_batches_is_empty():
    p = dist.Normal(torch.zeros(0, 3), 1.0).to_event(1)
    assert dist.kl_divergence(p, p).shape == (0,)


def test_parameters_of_no_rows_are_still_differentiated():
    loc = torch.zeros(0, 2, requires_grad=True)
    empty = dist.MultivariateNormal(loc, torch.eye(2)).to_event()
    empty.log_prob(torch.zeros(0, 2)).backward()
    assert loc.grad.shape == (0, 2)


def test_values_of_another_shape_are_refused_though_they_are_empty():
    with pytest.raises(ValueError, match="event_shape"):
        dist.Dirichlet(torch.ones(0, 3)).log_prob(torch.ones(0, 2))
    with pytest.raises(ValueError, match="broadcast"):
        dist.Dirichlet(torch.ones(4, 3)).log_prob(torch.ones(0, 3))


def test_an_event_without_categories_is_no_batch_without_rows():
    with pytest.raises(ValueError, match="probs"):
        dist.Categorical(torch.ones(0))


def test_a_parameter_of_no_rows_can_be_trained():
    value = ppl.param("empty", torch.ones(0, 3) / 3, constraint=dist.constraints.simplex)
    assert value.shape == (0, 3)
