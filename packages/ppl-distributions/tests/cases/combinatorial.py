"""Random matchings and phylogenies, and the Polya-Gamma distribution."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import torch
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import POSITIVE, REAL, at

LOGITS = tensor(
    [
        [[0.5, -1.0, 2.0], [0.0, 0.3, 0.1], [-0.7, 1.2, 0.4]],
        [[3.0, 0.0, 0.0], [0.0, 2.0, -1.0], [0.6, 0.8, 0.0]],
    ]
)
PAIRED = torch.cat([LOGITS, LOGITS.flip(-1) / 2], -2)[..., :2].contiguous()[..., :4, :]
LEAVES = tensor([[0.1, 1.2, 2.5, 2.3], [1.7, 1.6, 0.8, 1.1]])


def matching(capacity):
    """Return the law of assignments by brute force over all ways to fill the destinations."""

    def frozen(logits):
        sources, destinations = logits.shape
        columns = set(itertools.permutations(np.repeat(np.arange(destinations), capacity)))
        score = {c: sum(logits[i, j] for i, j in enumerate(c)) for c in columns}
        log_sum = np.log(sum(np.exp(s) for s in score.values()))
        return SimpleNamespace(logpmf=lambda x: score[tuple(x)] - log_sum)

    return frozen


def coalescent(rate_at):
    """Return the density of coalescence times, from the pairs between all times of any event."""

    def logpdf(leaves, x):
        edges = np.sort(np.concatenate([[0.0, 1.0, 2.0], leaves, x]))
        middle = (edges[1:] + edges[:-1]) / 2
        lineages = (leaves > middle[:, None]).sum(1) - (x > middle[:, None]).sum(1)
        pairs = lineages * (lineages - 1) / 2
        exposure = (pairs * rate_at(middle) * np.diff(edges)).sum()
        before = (leaves >= x[:, None]).sum(1) - (x > x[:, None]).sum(1)
        return np.log(before * (before - 1) / 2 * rate_at(x)).sum() - exposure

    return logpdf


def coalescent_times(leaves, rate):
    logpdf = coalescent(lambda t: np.full_like(t, rate))
    return SimpleNamespace(logpdf=lambda x: logpdf(leaves, x))


def coalescent_times_with_rate(leaves, grid):
    logpdf = coalescent(lambda t: grid[np.clip(np.floor(t), 0, len(grid) - 1).astype(int)])
    return SimpleNamespace(logpdf=lambda x: logpdf(leaves, x))


CASES = [
    Case(
        "CoalescentTimes",
        lambda today, rate: dist.CoalescentTimes(today.unsqueeze(-1).expand(*today.shape, 3), rate),
        at(today=REAL, rate=POSITIVE),
        lambda t, r: coalescent_times(np.full(3, t), r),
        has_moments=False,
        moving_support=True,
    ),
    Case(
        "CoalescentTimes_of_several_dates",
        dist.CoalescentTimes,
        at(leaf_times=LEAVES, rate=POSITIVE),
        coalescent_times,
        has_moments=False,
        has_jumps=True,
        moving_support=True,
    ),
    Case(
        "CoalescentTimesWithRate",
        dist.CoalescentTimesWithRate,
        at(leaf_times=LEAVES[:, 1:], rate_grid=tensor([[0.5, 1.0, 2.0], [3.0, 0.3, 1.0]])),
        coalescent_times_with_rate,
        has_moments=False,
        has_jumps=True,
        moving_support=True,
    ),
    Case("OneOneMatching", dist.OneOneMatching, at(logits=LOGITS), matching(1), has_moments=False),
    Case("OneTwoMatching", dist.OneTwoMatching, at(logits=PAIRED), matching(2), has_moments=False),
    Case(
        "TruncatedPolyaGamma",
        lambda prototype: dist.TruncatedPolyaGamma(prototype).expand(prototype.shape),
        at(prototype=torch.zeros(2)),
        has_moments=False,
    ),
]
