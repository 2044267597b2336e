"""Whether ranks are uniform: the empirical distribution function and an envelope around it."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

SEARCHED = 8, 5  # levels at once, and how often: the level is found to some parts in 10**5


class RankEnvelope:
    """What the empirical distribution function of uniform numbers looks like.

    At the inner edges of equal bins the counts of numbers below are binomial. The envelope holds,
    at each edge, the counts whose two tails are more probable than some level, and the level is
    such that the whole function stays inside with a given probability.

    Probabilities are exact, not simulated: counts in bins are independent Poisson numbers given
    their total, so a function walks from edge to edge by one transition matrix.

    Args:
        num: How many numbers.
        num_bins: How many bins.

    References:
        Säilynoja, Bürkner & Vehtari 2022, "Graphical test for discrete uniformity and its
        applications in goodness-of-fit evaluation and multiple sample comparison".

    Example:
        >>> envelope = RankEnvelope(num=100, num_bins=10)
        >>> low, high = envelope.bounds(0.95)
        >>> low[4].item(), high[4].item()  # of 100 numbers, so many are below one half
        (37, 63)
    """

    def __init__(self, num: int, num_bins: int) -> None:
        self.num, self.num_bins = num, num_bins

    @property
    def edges(self) -> Tensor:
        """The inner edges of the bins, shape ``(num_bins - 1,)``."""
        return torch.arange(1, self.num_bins, dtype=torch.float64) / self.num_bins

    def counts(self, numbers: Tensor) -> Tensor:
        """Return how many numbers in [0, 1) are below each edge.

        Args:
            numbers: Shape ``(num, component)``.

        Returns:
            Shape ``(component, num_bins - 1)``.
        """
        sorted_numbers = numbers.double().T.contiguous().sort(-1).values
        edges = self.edges.expand(len(sorted_numbers), -1).contiguous()
        return torch.searchsorted(sorted_numbers, edges)

    def bounds(self, prob: float) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest counts at each edge, both ``(num_bins - 1,)``.

        Args:
            prob: The probability that all counts of uniform numbers lie within.
        """
        inside = self._tails > self._level(prob)
        numbers = torch.arange(self.num + 1).expand_as(inside)
        low = numbers.masked_fill(~inside, self.num).amin(-1)
        high = numbers.masked_fill(~inside, 0).amax(-1)
        return low, high

    def p_values(self, counts: Tensor) -> Tensor:
        """Return how probable it is that uniform numbers leave tighter envelopes than these do.

        Args:
            counts: At the edges, shape ``(component, num_bins - 1)``.

        Returns:
            Shape ``(component,)``.
        """
        tails = self._tails.expand(len(counts), -1, -1).gather(-1, counts[..., None])
        return 1 - self._stays_inside(tails.amin((-2, -1)))

    @cached_property
    def _tails(self) -> Tensor:
        """Twice the smaller tail of each count at each edge, ``(num_bins - 1, num + 1)``."""
        n = torch.arange(self.num + 1, dtype=torch.float64)
        log_ways = math.lgamma(self.num + 1) - (n + 1).lgamma() - (self.num - n + 1).lgamma()
        edges = self.edges[:, None]
        prob = (log_ways + n * edges.log() + (self.num - n) * torch.log1p(-edges)).exp()
        below, above = prob.cumsum(-1), prob.flip(-1).cumsum(-1).flip(-1)
        return 2 * torch.minimum(below, above)

    @cached_property
    def _transitions(self) -> Tensor:
        """The probabilities of counts at an edge given the count at the one before."""
        n = torch.arange(self.num + 1, dtype=torch.float64)
        more = n - n[:, None]
        rate = self.num / self.num_bins
        log_prob = more * math.log(rate) - rate - (more.clamp(min=0) + 1).lgamma()
        return torch.where(more >= 0, log_prob.exp(), 0.0)

    def _stays_inside(self, levels: Tensor) -> Tensor:
        """Return the probabilities that functions stay inside the envelopes of levels."""
        walk = torch.zeros(len(levels), self.num + 1, dtype=torch.float64)
        walk[:, 0] = 1
        for tails in self._tails:
            walk = (walk @ self._transitions) * (tails > levels[:, None])
        total = self.num * math.log(self.num) - self.num - math.lgamma(self.num + 1)
        return (walk @ self._transitions)[:, -1] / math.exp(total)

    def _level(self, prob: float) -> float:
        """Return the largest level whose envelope holds a function with the probability."""
        low, high = math.log((1 - prob) / self.num_bins) - 1, math.log(1 - prob) + 1
        for _ in range(SEARCHED[1]):
            levels = torch.linspace(low, high, SEARCHED[0], dtype=torch.float64)
            wide = int((self._stays_inside(levels.exp()) >= prob).sum())
            low = float(levels[max(wide - 1, 0)])
            high = float(levels[min(wide, len(levels) - 1)])
        return math.exp(low)
