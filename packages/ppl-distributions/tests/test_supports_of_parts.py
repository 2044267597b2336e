"""A composite validates, and differentiates, each part on the elements that it owns alone."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import biject_to
from ppl.validation import validation_enabled

MASK = torch.tensor([True, False])
PAIRS = {
    "real and positive": (dist.Normal(0.0, 1.0), dist.Exponential(1.0)),
    "positive and an interval": (dist.Gamma(2.0, 3.0), dist.Uniform(-2.0, -1.0)),
    "two intervals": (dist.Uniform(0.0, 1.0), dist.Uniform(5.0, 6.0)),
    "counts": (dist.Binomial(3.0, 0.5), dist.Poisson(40.0)),
    "ordered and a simplex": (
        dist.Dirichlet(torch.ones(2)),
        dist.Normal(torch.zeros(2), 1.0).to_event(1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_masked_mixture_scores_each_value_by_its_component(name):
    first, second = PAIRS[name]
    torch.manual_seed(0)
    with validation_enabled():
        d = dist.MaskedMixture(MASK, first, second)
        value = d.sample((20,))
        got = d.log_prob(value)
        assert d.support.check(value).all()
        assert not d.support.check(torch.full_like(value, torch.nan)).any()
    want = torch.stack([second.log_prob(value[:, 0]), first.log_prob(value[:, 1])], -1)
    assert_close(got, want)


def test_a_masked_mixture_still_refuses_what_its_component_cannot_be():
    with validation_enabled():
        d = dist.MaskedMixture(MASK, dist.Normal(0.0, 1.0), dist.Exponential(1.0))
        with pytest.raises(ValueError, match="support"):
            d.log_prob(torch.tensor([-2.0, 1.0]))


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "counts"])
def test_a_value_of_another_part_sends_no_nan_back(name):
    d = dist.MaskedMixture(MASK, *PAIRS[name])
    torch.manual_seed(0)
    value = d.sample((20,)).requires_grad_()
    # the density of an interval is flat
    (gradient,) = torch.autograd.grad(d.log_prob(value).sum() + 0 * value.sum(), value)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["real and positive", "positive and an interval", "two intervals"])
def test_a_masked_mixture_has_coordinates_of_both_supports(name):
    d = dist.MaskedMixture(MASK, *PAIRS[name])
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    transform = biject_to(d.support)
    y = transform(x)
    assert d.support.check(y).all()
    assert_close(transform.inv(y), x, rtol=1e-3, atol=1e-3)
    slope = torch.autograd.functional.jacobian(transform, x[0]).diagonal()
    assert_close(transform.log_abs_det_jacobian(x[0], y[0]), slope.abs().log())


MIXED = {
    "intervals": (dist.Uniform(torch.tensor([0.0, 0.5]), torch.tensor([1.0, 2.0])), 1.5),
    "totals": (dist.Binomial(torch.tensor([2.0, 5.0]), torch.tensor([0.5, 0.5])), 4.0),
    "thresholds": (dist.Pareto(torch.tensor([1.0, 3.0]), 2.0), 2.0),
    "truncations": (dist.Truncated(dist.Normal(0.0, 1.0), torch.tensor([-1.0, 1.0])), 0.0),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("checked", [True, False])
def test_a_mixture_scores_what_one_of_its_components_can_be(name, checked):
    components, value = MIXED[name]
    torch.manual_seed(0)
    with validation_enabled(checked):
        d = dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.25, 0.75])), components)
        d.log_prob(d.sample((50,)))
        got = d.log_prob(torch.tensor(value))
    with validation_enabled(False):
        densities = components.expand((2,)).log_prob(torch.tensor(value)).exp()
    assert (densities == 0).any()
    assert_close(got.exp(), (torch.tensor([0.25, 0.75]) * densities).sum())


def test_a_mixture_refuses_what_no_component_can_be():
    components, _ = MIXED["intervals"]
    with validation_enabled():
        d = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), components)
        with pytest.raises(ValueError, match="support"):
            d.log_prob(torch.tensor(3.0))


def test_the_cdf_of_a_mixture_goes_on_where_a_component_ends():
    with validation_enabled():
        d = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), MIXED["intervals"][0])
        assert_close(d.cdf(torch.tensor([0.25, 1.5])), torch.tensor([0.125, 0.5 + 1 / 3]))


def test_a_hurdle_hides_its_zeros_from_a_base_that_has_none():
    base = dist.Truncated(dist.LogNormal(0.0, 1.0), low=2.0)
    with validation_enabled():
        got = dist.Hurdle(0.25, base).log_prob(torch.tensor([0.0, 3.0]))
    want = torch.tensor([0.25, 0.75 * base.log_prob(torch.tensor(3.0)).exp()])
    assert_close(got.exp(), want)
