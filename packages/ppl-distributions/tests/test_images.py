"""Distribution functions of images under monotone transforms, on what they reach and beyond."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import transforms as t

IMAGES = {  # base, transforms, and the ends of what is reached
    "exp": (dist.Normal(0.3, 1.2), [t.ExpTransform()], 0.0, math.inf),
    "sigmoid of heavy tails": (dist.Cauchy(0.0, 1.0), [t.SigmoidTransform()], 0.0, 1.0),
    "tanh": (dist.Normal(0.0, 1.0), [t.TanhTransform()], -1.0, 1.0),
    "softplus": (dist.Normal(0.0, 1.0), [t.SoftplusTransform()], 0.0, math.inf),
    "turned": (dist.Exponential(1.0), [t.AffineTransform(2.0, -3.0)], -math.inf, 2.0),
    "turned and bent": (
        dist.Normal(0.0, 1.0),
        [t.ExpTransform(), t.AffineTransform(3.0, -2.0)],
        -math.inf,
        3.0,
    ),
    "an interval": (dist.Uniform(0.0, 1.0), [t.AffineTransform(1.0, 2.0)], 1.0, 3.0),
    "a bent interval": (dist.Uniform(0.0, 1.0), [t.ExpTransform()], 1.0, math.e),
    "reciprocal": (dist.Gamma(2.0, 1.0), [t.PowerTransform(torch.tensor(-1.0))], 0.0, math.inf),
    "square": (dist.Exponential(1.0), [t.PowerTransform(torch.tensor(2.0))], 0.0, math.inf),
    "log": (dist.Kumaraswamy(2.0, 3.0), [t.ExpTransform().inv], -math.inf, 0.0),
    "nested": (
        dist.TransformedDistribution(dist.Uniform(0.0, 1.0), [t.ExpTransform()]),
        [t.AffineTransform(0.0, -1.0)],
        -math.e,
        -1.0,
    ),
}
CASES = pytest.mark.parametrize("base, maps, low, high", IMAGES.values(), ids=[*IMAGES])


def image(base, maps):
    d = dist.TransformedDistribution(base, maps)
    d._validate_args = False
    return d


@CASES
def test_a_share_of_draws_lies_below_each_level(base, maps, low, high):
    torch.manual_seed(0)
    draws = image(base, maps).sample((4000,))
    levels = image(base, maps).cdf(draws).sort().values
    steps = (torch.arange(4000) + 0.5) / 4000
    # Kolmogorov's statistic exceeds 2.9 in one run of 10 million
    assert (levels - steps).abs().max() * math.sqrt(4000) < 2.9


@CASES
def test_beyond_what_is_reached_lies_no_probability(base, maps, low, high):
    d = image(base, maps)
    for end, side, level in ((low, -1.0, 0.0), (high, 1.0, 1.0)):
        beyond = [side * math.inf]
        if math.isfinite(end):
            beyond += [end + side * 1e-3, end + side, end + side * 1e6]
        got = d.cdf(torch.tensor(beyond))
        assert_close(got, torch.full_like(got, level), rtol=0.0, atol=0.0)
    assert d.cdf(torch.tensor(math.nan)).isnan()


@CASES
def test_there_a_distribution_function_is_flat(base, maps, low, high):
    ends = [end + side for end, side in ((low, -1.0), (high, 1.0)) if math.isfinite(end)]
    x = torch.tensor(ends, requires_grad=True)
    (slope,) = torch.autograd.grad(image(base, maps).cdf(x).sum(), x)
    assert (slope == 0).all()


@CASES
def test_its_slope_is_the_density(base, maps, low, high):
    torch.manual_seed(0)
    d = image(base, maps)
    x = d.sample((20,)).requires_grad_()
    (slope,) = torch.autograd.grad(d.cdf(x).sum(), x)
    assert_close(slope, d.log_prob(x).exp().detach(), rtol=2e-3, atol=1e-5)


def test_a_map_of_either_direction_for_each_element():
    d = image(dist.Exponential(1.0), [t.AffineTransform(0.0, torch.tensor([-1.0, 2.0]))])
    assert_close(d.cdf(torch.tensor([-1.0, 2.0])), torch.tensor([math.exp(-1), 1 - math.exp(-1)]))
    assert d.cdf(torch.tensor([1.0, -1.0])).tolist() == [1.0, 0.0]
