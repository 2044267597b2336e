"""The envelope of uniform ranks: exact coverage, and p-values that are uniform."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from ppl.infer.rank_envelope import RankEnvelope


def uniforms(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def exact_coverage(num, num_bins, low, high):
    """Sum over all ways to put numbers into bins."""
    total = 0.0
    for bins in itertools.product(range(num + 1), repeat=num_bins):
        if sum(bins) == num:
            below = itertools.accumulate(bins[:-1])
            inside = zip(low.tolist(), below, high.tolist(), strict=True)
            if all(a <= n <= b for a, n, b in inside):
                ways = math.factorial(num) / math.prod(map(math.factorial, bins))
                total += ways / num_bins**num
    return total


@pytest.mark.parametrize("prob", [0.5, 0.8, 0.95])
def test_coverage_is_the_smallest_that_is_enough(prob):
    envelope = RankEnvelope(6, 4)
    low, high = envelope.bounds(prob)
    assert exact_coverage(6, 4, low, high) >= prob
    tails = envelope._tails
    least = tails[tails > envelope._level(prob) * (1 + 1e-3)].min()
    inside = tails > least  # without the least probable counts that it holds
    numbers = torch.arange(7).expand_as(inside)
    smaller = [numbers.masked_fill(~inside, 6).amin(-1), numbers.masked_fill(~inside, 0).amax(-1)]
    assert exact_coverage(6, 4, *smaller) < prob


@pytest.mark.parametrize(("num", "num_bins"), [(50, 10), (200, 100), (7, 128)])
def test_uniform_numbers_stay_inside_as_often_as_they_should(num, num_bins):
    envelope = RankEnvelope(num, num_bins)
    counts = envelope.counts(uniforms(num, 10_000))
    low, high = envelope.bounds(0.9)
    inside = ((counts >= low) & (counts <= high)).all(-1)
    share, p_values = inside.double().mean(), envelope.p_values(counts[:2000])
    assert share > 0.9 - 4 * 0.3 / 100  # 4 standard errors: a false alarm of 1e-4
    assert (p_values < 0.1).double().mean() < 0.1 + 4 * 0.3 / 2000**0.5


def test_p_values_of_numbers_that_are_not_uniform_vanish():
    envelope = RankEnvelope(200, 50)
    x = uniforms(200, 1)
    for transformed in (x**2, 0.25 + x / 2, (x * 2) % 1 / 2):
        assert envelope.p_values(envelope.counts(transformed)) < 1e-6
