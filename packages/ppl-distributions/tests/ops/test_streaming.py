"""Running statistics against those of all samples together."""

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops.streaming import (
    CountMeanStats,
    CountMeanVarianceStats,
    CountStats,
    StackStats,
    StatsOfDict,
)
from ppl.ops.welford import WelfordArrowheadCovariance, WelfordCovariance

SAMPLES = 1e4 + torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()

TOGETHER = {
    CountStats: lambda x: {"count": len(x)},
    CountMeanStats: lambda x: {"count": len(x), "mean": x.mean(0)},
    CountMeanVarianceStats: lambda x: {"count": len(x), "mean": x.mean(0), "variance": x.var(0)},
    StackStats: lambda x: {"count": len(x), "samples": x},
}


def summary(kind, samples):
    stats = kind()
    for sample in samples:
        stats.update(sample)
    return stats


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_running_statistic_is_that_of_all_samples(kind):
    assert_close(summary(kind, SAMPLES).get(), TOGETHER[kind](SAMPLES))


@pytest.mark.parametrize("kind", TOGETHER)
@pytest.mark.parametrize("split", [0, 1, 20, 50])
def test_merging_adds_the_samples_of_the_other_and_changes_neither(kind, split):
    first, second = summary(kind, SAMPLES[:split]), summary(kind, SAMPLES[split:])
    before = first.get(), second.get()
    assert_close(first.merge(second).get(), TOGETHER[kind](SAMPLES))
    assert_close((first.get(), second.get()), before, equal_nan=True)


@pytest.mark.parametrize("kind", TOGETHER)
def test_no_sample_gives_a_count_alone(kind):
    assert kind().get() == {"count": 0}


def test_a_dictionary_has_a_statistic_for_each_key():
    stats = StatsOfDict({"x": CountMeanStats}, default=CountStats)
    assert stats.get() == {"x": {"count": 0}}
    stats.update({"x": torch.ones(2), "y": None})
    other = StatsOfDict({"x": CountMeanStats})
    other.update({"x": torch.zeros(2), "z": None})
    want = {"x": {"count": 2, "mean": torch.full((2,), 0.5)}, "y": {"count": 1}, "z": {"count": 1}}
    assert_close(stats.merge(other).get(), want)
    assert stats.get()["x"]["count"] == other.get()["x"]["count"] == 1


@pytest.mark.parametrize("regularize", [False, True])
@pytest.mark.parametrize("diagonal", [True, False])
def test_welford_equals_the_covariance_of_all_samples(diagonal, regularize):
    running = WelfordCovariance(diagonal)
    for _ in range(2):  # the second time after a reset
        running.reset()
        for sample in SAMPLES:
            running.update(sample)
    want = SAMPLES.T.cov()
    if regularize:
        want = (50 * want + 5 * 1e-3 * torch.eye(4)) / 55
    want = want.diagonal() if diagonal else want
    assert_close(running.get_covariance(regularize), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head_size", [0, 1, 3, 4])
def test_an_arrowhead_has_the_rows_of_its_head_and_the_other_variances(head_size):
    running, dense = WelfordArrowheadCovariance(head_size), WelfordCovariance(diagonal=False)
    for sample in SAMPLES:
        running.update(sample)
        dense.update(sample)
    top, bottom_diag = running.get_covariance()
    assert_close(top, dense.get_covariance()[:head_size])
    assert_close(bottom_diag, dense.get_covariance().diagonal()[head_size:])


def test_one_sample_has_no_covariance():
    running = WelfordCovariance()
    running.update(SAMPLES[0])
    with pytest.raises(ShapeError, match="2 samples or more, but got 1"):
        running.get_covariance()
