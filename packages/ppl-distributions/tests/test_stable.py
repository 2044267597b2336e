"""Stable laws against closed forms, and across the seams of their formulas."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import Cauchy, Normal, Stable
from ppl.errors import SiteError

X = torch.tensor([-300.0, -20.0, -3.0, -0.5, 0.0, 0.1, 1.0, 4.0, 30.0]).double()


def number(x):
    return torch.tensor(x).double()


def levy(x):
    """Return the log density of Levy's law on x > 0."""
    return -0.5 / x - 1.5 * x.log() - math.log(2 * math.pi) / 2


@pytest.mark.parametrize("skew", [0.0, 0.7, -1.0])
def test_stability_two_is_normal_even_deep_in_the_tails(skew):
    want = Normal(number(0.0), number(2.0).sqrt()).log_prob(X)
    assert_close(Stable(number(2.0), skew).log_prob(X), want, rtol=1e-8, atol=1e-8)


def test_stability_one_without_skew_is_cauchy():
    want = Cauchy(number(0.0), number(1.0)).log_prob(X)
    assert_close(Stable(number(1.0), 0.0).log_prob(X), want, rtol=1e-7, atol=1e-6)


def test_stability_one_half_with_full_skew_is_levy():
    x = torch.tensor([1e-3, 1e-2, 0.3, 1.0, 20.0, 1e4]).double()
    assert_close(Stable(number(0.5), 1.0).log_prob(x - 1), levy(x), rtol=1e-8, atol=1e-8)
    assert_close(Stable(number(0.5), -1.0).log_prob(1 - x), levy(x), rtol=1e-8, atol=1e-8)


def test_a_fully_skewed_law_has_no_density_on_the_other_side():
    assert Stable(number(0.5), 1.0).log_prob(number(-1.5)) == -math.inf


@pytest.mark.parametrize("skew", [0.0, 0.5, -1.0])
def test_density_and_gradient_are_continuous_at_stability_one(skew):
    stability = torch.tensor([1 - 3e-4, 1 - 1e-4, 1.0, 1 + 1e-4, 1 + 3e-4]).double()
    stability.requires_grad_()
    density = Stable(stability, skew, validate_args=False).log_prob(number(0.8))
    (slope,) = torch.autograd.grad(density.sum(), stability)
    secant = (density[1:] - density[:-1]) / (stability[1:] - stability[:-1])
    assert_close(secant, slope[2].expand(4), rtol=1e-3, atol=2e-3)
    assert_close(slope, slope[2].expand(5), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("stability", [0.5, 0.98, 1.0, 1.0 + 1e-9, 1.4, 2.0])
def test_draws_have_the_characteristic_function(stability):
    """It is that of Nolan (1997), equation 3, in coordinates S0."""
    torch.manual_seed(0)
    skew, num_draws = 0.6, 100_000
    x = Stable(number(stability), skew).sample((num_draws,))
    for t in (0.3, 1.0, 2.0):
        if stability == 1:
            phase = -skew * 2 / math.pi * t * math.log(t)
        else:
            tan = math.tan(math.pi / 2 * stability)
            phase = skew * tan * (t**stability - t)
        size = math.exp(-(t**stability))
        want = torch.tensor([size * math.cos(phase), size * math.sin(phase)])
        got = torch.stack([(t * x).cos().mean(), (t * x).sin().mean()])
        assert_close(got, want.double(), rtol=0, atol=5 * num_draws**-0.5)


def test_draws_are_smooth_in_the_stability():
    draws = []
    for stability in (1 - 1e-7, 1.0, 1 + 1e-7):
        torch.manual_seed(0)
        draws.append(Stable(number(stability), 0.8).sample((1000,)))
    assert_close(draws[0], draws[1], rtol=1e-4, atol=1e-4)
    assert_close(draws[2], draws[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stability", [0.7, 1.0, 1.6])
def test_coordinates_differ_by_a_shift(stability):
    at_one = 2 / math.pi * math.log(3)
    shift = 3 * 0.4 * (at_one if stability == 1 else math.tan(math.pi / 2 * stability))
    torch.manual_seed(0)
    s = Stable(number(stability), 0.4, 3.0, 2.0, coords="S").sample((5,))
    torch.manual_seed(0)
    s0 = Stable(number(stability), 0.4, 3.0, 2.0).sample((5,))
    assert_close(s - s0, torch.full_like(s, shift), rtol=1e-6, atol=1e-6)


def test_the_mean_is_loc_in_the_coordinates_s():
    stability = torch.tensor([0.9, 1.5, 2.0])
    mean = Stable(stability, 0.5, 2.0, 3.0, coords="S").mean
    assert_close(mean, torch.tensor([math.nan, 3.0, 3.0]), equal_nan=True)
    assert Stable(stability, 0.5, 2.0).variance.tolist() == [math.inf, math.inf, 8.0]


def test_unknown_coordinates_are_refused():
    with pytest.raises(SiteError, match="'S1'"):
        Stable(1.5, 0.0, coords="S1")
