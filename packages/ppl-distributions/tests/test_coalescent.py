"""Coalescence times of leaves of several dates, under rates that change."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import biject_to
from ppl.distributions.testing.statistics import assert_zero_mean
from ppl.validation import validation_enabled

LEAVES = torch.tensor([0.5, 3.0, 3.0, 2.2, -1.0], dtype=torch.float64)
RATES = torch.tensor([0.5, 3.0, 0.2, 1.0], dtype=torch.float64)


def exposures(leaves, times, rate_at):
    """Return the pair-exposure before each coalescence since the one before, latest first."""
    grid = torch.linspace(float(times.min()) - 1e-9, float(leaves.max()), 20_001).double()
    middle, step = (grid[1:] + grid[:-1]) / 2, grid[1] - grid[0]
    lineages = (leaves[:, None] > middle).sum(0) - (times[:, None] > middle).sum(0)
    hazard = lineages * (lineages - 1) / 2 * rate_at(middle) * step
    total = torch.stack([hazard[middle > t].sum() for t in times.flip(0)])
    return total.diff(prepend=total.new_zeros(1))


def rate_at(t):
    return RATES[t.floor().clamp(0, 3).long()]


@pytest.mark.parametrize(
    ("d", "rate"),
    [
        (dist.CoalescentTimes(LEAVES, 0.7), lambda t: torch.full_like(t, 0.7)),
        (dist.CoalescentTimesWithRate(LEAVES, RATES), rate_at),
    ],
)
def test_rescaled_waiting_times_of_draws_are_standard_exponentials(d, rate):
    torch.manual_seed(0)
    waits = torch.stack([exposures(LEAVES, x, rate) for x in d.sample((500,))])
    assert_zero_mean(waits - 1, "mean")
    assert_zero_mean(waits.square() - 2, "second moment")
    left, right = (waits[:, :-1] - 1).flatten(), (waits[:, 1:] - 1).flatten()
    assert_zero_mean(left * right, "dependence")


def test_a_constant_grid_is_a_constant_rate():
    x = dist.CoalescentTimes(LEAVES, 2.0).sample((5,))
    got = dist.CoalescentTimesWithRate(LEAVES, torch.full((7,), 2.0).double()).log_prob(x)
    assert_close(got, dist.CoalescentTimes(LEAVES, 2.0).log_prob(x))


def test_a_density_with_jumps_integrates_to_one():
    """One coalescence of two leaves, by quadrature between the whole numbers."""
    leaves = torch.tensor([2.5, 3.7], dtype=torch.float64)
    d = dist.CoalescentTimesWithRate(leaves, RATES)
    mass = 0.0
    for low, high in [(-60.0, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, 2.5)]:
        x = torch.linspace(low + 1e-12, high - 1e-12, 20_001, dtype=torch.float64)
        mass = mass + torch.trapezoid(d.log_prob(x.unsqueeze(-1)).exp(), x)
    assert_close(mass, torch.ones((), dtype=torch.float64), rtol=0, atol=1e-5)


def test_equal_leaf_times_may_come_in_any_order():
    d = dist.CoalescentTimes(LEAVES)
    x = d.sample((10,))
    assert_close(dist.CoalescentTimes(LEAVES[[2, 4, 0, 1, 3]]).log_prob(x), d.log_prob(x))


def test_impossible_times_are_refused_or_have_no_density():
    late = torch.tensor([-2.0, 0.1, 0.2, 3.0], dtype=torch.float64)  # 2.2 < 3 leaves two leaves
    early = torch.tensor([-2.0, 0.1, 2.9, 2.95], dtype=torch.float64)  # 3 lineages needed at 2.9
    with validation_enabled():
        d = dist.CoalescentTimes(LEAVES)
        assert d.support.check(late) and not d.support.check(early)
        assert not d.support.check(late.flip(0))
        with pytest.raises(ValueError, match="support"):
            d.log_prob(early)
    with validation_enabled(False):
        assert dist.CoalescentTimes(LEAVES).log_prob(early) == -math.inf


def test_the_support_is_reached_from_the_reals():
    d = dist.CoalescentTimes(LEAVES)
    transform = biject_to(d.support)
    u = torch.randn(20, 4, dtype=torch.float64)
    x = transform(u)
    assert d.support.check(x).all()
    assert_close(transform.inv(x), u)
    jacobian = torch.autograd.functional.jacobian(transform, u[0])
    got = transform.log_abs_det_jacobian(u, x)[0]
    assert_close(got, torch.linalg.slogdet(jacobian).logabsdet)


def test_the_likelihood_of_rates_is_split_by_step():
    x = dist.CoalescentTimesWithRate(LEAVES, RATES).sample()
    likelihood = dist.CoalescentRateLikelihood(LEAVES, x, 4)
    grids = torch.stack([RATES, RATES.flip(0)])
    terms = likelihood(grids)
    want = [dist.CoalescentTimesWithRate(LEAVES, grid).log_prob(x) for grid in grids]
    assert terms.shape == (2, 4)
    assert_close(terms.sum(-1), torch.stack(want))
    assert_close(likelihood(grids[:, 1:3], slice(1, 3)), terms[:, 1:3])
    assert_close(likelihood(grids[:, 2], 2), terms[:, 2])
    with validation_enabled(), pytest.raises(ValueError, match="support"):
        dist.CoalescentRateLikelihood(LEAVES, x.flip(0), 4)
