"""Truncation far out in the tails, with bounds that move, and bounds of each observation."""

import math

import pytest
import scipy.stats as st
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import biject_to
from ppl.distributions.testing.statistics import assert_zero_mean
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


@pytest.mark.parametrize(
    ("low", "high"), [(30.0, 31.0), (-31.0, -30.0), (30.0, None), (None, -30.0), (50.0, 50.1)]
)
def test_the_density_keeps_its_digits_in_either_tail(low, high):
    x = torch.tensor([b for b in (low, high) if b is not None], dtype=torch.float64)
    d = dist.Truncated(dist.Normal(torch.zeros((), dtype=x.dtype), 1.0), low, high)
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    assert_close(d.log_prob(x), torch.as_tensor(st.truncnorm(*ends).logpdf(x)), rtol=1e-9, atol=0)


def test_draws_in_a_tail_of_no_mass_follow_the_density_there():
    torch.manual_seed(0)
    d = dist.Truncated(dist.Normal(torch.zeros(20_000), 1.0), 40.0)  # the mass is exp(-804)
    x = d.sample().double()
    hazard = st.truncnorm(40, math.inf)
    assert x.min() >= 40
    assert_zero_mean(x - hazard.mean(), "mean")
    assert_zero_mean((x - 40).square() - 2 / 1601.5, "second moment")  # 2 / (a^2 + 3 / 2)


def test_gradients_flow_to_the_bounds():
    """The mean of a truncated standard normal is ``(pdf(low) - pdf(high)) / mass``."""
    torch.manual_seed(0)
    low = torch.full((20_000,), -0.5, dtype=torch.float64, requires_grad=True)
    high = torch.full((20_000,), 1.0, dtype=torch.float64, requires_grad=True)
    x = dist.Truncated(dist.Normal(torch.zeros_like(low), 1.0), low, high).rsample()
    pathwise = torch.autograd.grad(x.sum(), [low, high])
    a, b = (bound.detach()[0].requires_grad_() for bound in (low, high))
    normal = dist.Normal(torch.zeros_like(a), 1.0)
    mass = normal.cdf(b) - normal.cdf(a)
    mean = (normal.log_prob(a).exp() - normal.log_prob(b).exp()) / mass
    for got, want in zip(pathwise, torch.autograd.grad(mean, [a, b]), strict=True):
        assert_zero_mean(got - want, "gradient of the mean")


def test_the_gradient_of_a_density_reaches_parameters_and_bounds():
    inputs = [torch.tensor(x).double().requires_grad_() for x in (0.3, 1.2, 2.0, 3.0)]

    def log_prob(loc, scale, low, high):
        return dist.Truncated(dist.Normal(loc, scale), low, high).log_prob(loc.new_tensor(2.5))

    assert torch.autograd.gradcheck(log_prob, inputs)


def test_an_infinite_bound_is_no_bound():
    low = torch.tensor([0.0, -math.inf], requires_grad=True)
    x = torch.tensor(0.5)
    density = dist.Truncated(dist.Normal(0.0, 1.0), low).log_prob(x)
    plain = dist.Normal(0.0, 1.0).log_prob(x)
    assert_close(density, torch.stack([plain + math.log(2), plain]))
    (gradient,) = torch.autograd.grad(density.sum(), low)
    assert gradient.isfinite().all()


def test_a_generic_distribution_can_be_truncated_where_its_cdf_rounds_to_one():
    rate = torch.tensor(1.0, requires_grad=True)
    d = dist.Truncated(dist.Gamma(2.0, rate), 0.5, 1e3)
    density = d.log_prob(torch.tensor(1.0))
    want = st.gamma(2).logpdf(1) - st.gamma(2).logsf(0.5)
    assert_close(density.detach(), torch.tensor(want).float())
    assert torch.autograd.grad(density, rate)[0].isfinite()
    assert not d.has_rsample
    with pytest.raises(NotImplementedError):
        d.sample()


@pytest.mark.parametrize(
    ("base", "low", "high", "bounds"),
    [
        (dist.Normal(0.0, 1.0), -1.0, 2.0, (-1, 2)),
        (dist.Normal(0.0, 1.0), None, 2.0, (-math.inf, 2)),
        (dist.Exponential(1.0), None, 2.0, (0, 2)),
        (dist.Exponential(1.0), -1.0, None, (0, math.inf)),
    ],
)
def test_the_support_is_what_both_allow_and_is_reached_from_the_reals(base, low, high, bounds):
    d = dist.Truncated(base, low, high)
    x = biject_to(d.support)(torch.linspace(-5, 5, 11))
    assert d.support.check(x).all() and (x >= bounds[0]).all() and (x <= bounds[1]).all()
    beyond = torch.tensor([b + step for b, step in ((low, -1), (high, 1)) if b is not None])
    with validation_enabled(False):
        assert (d.log_prob(beyond) == -math.inf).all()


@pytest.mark.parametrize(
    ("base", "low", "high", "oracle"),
    [
        (dist.Normal, -1.0, 2.0, st.truncnorm(-1, 2)),
        (dist.Normal, -30.0, None, st.norm()),
        (dist.Normal, None, -8.0, st.truncnorm(-math.inf, -8)),
        (dist.Logistic, None, math.inf, st.logistic()),
        (dist.HalfCauchy, None, 3.0, None),
    ],
)
def test_moments_are_integrals_over_the_interval(base, low, high, oracle):
    one = torch.ones((), dtype=torch.float64)
    d = dist.Truncated(base(one) if oracle is None else base(0 * one, one), low, high)
    if oracle is None:  # the integrals of x and of x^2 over 2 / pi / (1 + x^2)
        mean = math.log1p(3.0**2) / 2 / math.atan(3.0)
        want = mean, 3 / math.atan(3.0) - 1 - mean**2
    else:
        want = oracle.stats("mv")
    assert_close(d.mean, one * float(want[0]), rtol=1e-10, atol=1e-10)
    assert_close(d.variance, one * float(want[1]), rtol=1e-10, atol=0)


def test_moments_that_do_not_exist_are_no_numbers():
    high = torch.tensor([2.0, math.inf])
    below = dist.Truncated(dist.Cauchy(torch.zeros(2), 1.0), 1.0, high)
    assert below.mean.isfinite().tolist() == below.variance.isfinite().tolist() == [True, False]
    assert not dist.Truncated(dist.Cauchy(0.0, 1.0), 1.0).mean.isfinite()


def test_the_gradient_of_a_mean_reaches_parameters_and_bounds():
    inputs = [torch.tensor(x).double().requires_grad_() for x in (0.3, 1.2, 2.0, 3.0)]

    def moments(loc, scale, low, high):
        d = dist.Truncated(dist.Normal(loc, scale), low, high)
        return d.mean, d.variance

    assert torch.autograd.gradcheck(moments, inputs)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="low or high"):
        dist.Truncated(dist.Normal(0.0, 1.0))
    with pytest.raises(ShapeError, match=r"event_shape \(3,\).*to_event"):
        dist.Truncated(dist.Normal(torch.zeros(3), 1.0).to_event(1), 0.0)
    with validation_enabled(), pytest.raises(ValueError, match="low < high"):
        dist.Truncated(dist.Normal(0.0, 1.0), 2.0, 1.0)
