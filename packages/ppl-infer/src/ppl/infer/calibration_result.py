"""What simulation-based calibration found, and what the shape of ranks means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .diagnostics import _component_names
from .rank_envelope import RankEnvelope

LIKELIHOOD = "log_likelihood"
MOST_BINS = 128
CLEAR = 3.0  # standard errors: so far off, a mean or a spread of ranks is worth a word
CORRELATED = 0.2  # of successive draws
MOST_NAMED = 5


@dataclass(frozen=True)
class RankCheck:
    """The ranks of one number of one site.

    Attributes:
        name: Such as ``theta[0]``.
        ranks: Of the true value among the draws, shape ``(data set,)``, from 0 to their number.
        p_value: How probable ranks that look worse are, if the method is right.
        passed: Whether that is enough, given how many numbers are looked at.
        shift: By how many standard errors the mean of the ranks is too high.
        spread: By how many standard errors they lie too far from their middle.
    """

    name: str
    ranks: Tensor
    p_value: float
    passed: bool
    shift: float
    spread: float

    @property
    def finding(self) -> str:
        """What the shape of the ranks means."""
        return f"{self.name}: {' and '.join(self._shapes()) if not self.passed else 'calibrated'}"

    def _shapes(self) -> list[str]:
        if self.name == LIKELIHOOD and abs(self.shift) > CLEAR:
            worse = self.shift > 0
            return [
                "the draws fit the data worse than the true values do: the method uses less than "
                "the data say"
                if worse
                else "the draws fit the data better than the true values do: the method overfits"
            ]
        found = []
        if abs(self.shift) > CLEAR:
            found.append(f"the draws are too {'low' if self.shift > 0 else 'high'}")
        if abs(self.spread) > CLEAR:
            found.append(f"the posterior is too {'narrow' if self.spread > 0 else 'wide'}")
        return found or ["the posterior has another shape: look at the picture"]


@dataclass(frozen=True)
class Calibration:
    """The ranks of true values among the draws of a method.

    Attributes:
        method: The name of the method.
        ranks: By site, each of shape ``(data set, *site)``; ``log_likelihood`` is that of the data.
        draws: The draws by site, ``(data set, draw, *site)``.
        failures: Why the method failed, by the number of the data set; these have no ranks.
        prob: The probability that a method that is right passes.
    """

    method: str
    ranks: dict[str, Tensor]
    draws: dict[str, Tensor] = field(repr=False)
    failures: Mapping[int, str] = field(default_factory=dict)
    prob: float = 0.95

    @property
    def num_draws(self) -> int:
        """How many draws the method made for each data set."""
        return next(iter(self.draws.values())).shape[1]

    @property
    def num_sets(self) -> int:
        """How many data sets have ranks."""
        return len(next(iter(self.ranks.values())))

    @property
    def passed(self) -> bool:
        """Whether the method looks right about all numbers, and has failed nowhere."""
        return not self.reasons

    @cached_property
    def envelope(self) -> RankEnvelope:
        """That of the ranks of each number."""
        return RankEnvelope(self.num_sets, min(self.num_draws + 1, MOST_BINS))

    @property
    def level(self) -> float:
        """The probability that one number leaves its envelope by chance."""
        return (1 - self.prob) / len(self.checks)

    @cached_property
    def numbers(self) -> Tensor:
        """The ranks as numbers in [0, 1), spread over their cells, ``(data set, component)``."""
        generator = torch.Generator().manual_seed(0)
        ranks = torch.cat([x.reshape(len(x), -1) for x in self.ranks.values()], 1).double()
        noise = torch.rand(ranks.shape, generator=generator, dtype=torch.float64)
        return (ranks + noise) / (self.num_draws + 1)

    @cached_property
    def checks(self) -> list[RankCheck]:
        """One for each number of each site."""
        numbers, n = self.numbers, self.num_sets
        p_values = self.envelope.p_values(self.envelope.counts(numbers)).tolist()
        shifts = ((numbers.mean(0) - 0.5) * (12 * n) ** 0.5).tolist()
        squares = ((numbers - 0.5) ** 2).mean(0)
        spreads = ((squares - 1 / 12) * (180 * n) ** 0.5).tolist()  # var of a square: 1 / 180
        ranks = torch.cat([x.reshape(len(x), -1) for x in self.ranks.values()], 1).unbind(1)
        names = [n for s, x in self.ranks.items() for n in _component_names(s, x.shape[1:])]
        least = (1 - self.prob) / len(names)
        return [
            RankCheck(name, rank, p, p >= least, shift, spread)
            for name, rank, p, shift, spread in zip(
                names, ranks, p_values, shifts, spreads, strict=True
            )
        ]

    @cached_property
    def reasons(self) -> list[str]:
        """What speaks against the method, one sentence each, the worst first."""
        return [*self._failed(), *self._not_finite(), *self._off(), *self._correlated()]

    def __str__(self) -> str:
        about = f"{self.method}: {self.num_sets} data sets, {self.num_draws} draws of each"
        if self.passed:
            least = min(self.checks, key=lambda check: check.p_value)
            return (
                f"{about}: calibrated\n- the most unusual of {len(self.checks)} numbers is "
                f"{least.name}, p = {least.p_value:.2g}"
            )
        return f"{about}: not calibrated" + "".join(f"\n- {reason}" for reason in self.reasons)

    def plot(self, sites: str | list[str] | None = None) -> Any:
        """Return a matplotlib figure: for each number the distribution of ranks, and its envelope.

        The curve is the empirical distribution function of the ranks less that of uniform ones. It
        lies within the band for all numbers together with the probability ``prob``, if the method
        is right. A curve that rises first and falls then, like an S on its side, is that of a
        posterior that is too narrow; its mirror image of one that is too wide. One that stays above
        zero shows draws that are too high; below, too low.

        Args:
            sites: The names of the sites to show; default all.

        Raises:
            MissingDistributionError: If matplotlib is not installed.
        """
        from .calibration_picture import draw_calibration

        return draw_calibration(self, sites)

    def _failed(self) -> Iterator[str]:
        if self.failures:
            number, error = next(iter(self.failures.items()))
            total = len(self.failures) + self.num_sets
            yield (
                f"it failed for {len(self.failures)} of {total} data sets, first for number "
                f"{number}: {error}"
            )

    def _not_finite(self) -> Iterator[str]:
        for name, x in self.draws.items():
            bad = (
                int((~x.isfinite()).reshape(len(x), -1).any(1).sum())
                if x.is_floating_point()
                else 0
            )
            if bad:
                yield f"{name}: some draws are not finite for {bad} of {len(x)} data sets"

    def _off(self) -> Iterator[str]:
        off = sorted((c for c in self.checks if not c.passed), key=lambda check: check.p_value)
        for check in off[:MOST_NAMED]:
            yield f"{check.finding} (p = {check.p_value:.1g})"
        if len(off) > MOST_NAMED:
            yield f"and {len(off) - MOST_NAMED} more"

    def _correlated(self) -> Iterator[str]:
        """Say so if draws follow each other, where ranks are off: it may be that alone."""
        if all(check.passed for check in self.checks):
            return
        for name, x in self.draws.items():
            worst = _correlation(x.double().flatten(2)) if x.dim() > 2 else _correlation(x.double())
            if worst > CORRELATED:
                yield (
                    f"{name}: successive draws have a correlation of {worst:.2f}, which makes "
                    "ranks look like those of a posterior that is too narrow: raise thinning"
                )


def rank_of(truth: Tensor, draws: Tensor) -> Tensor:
    """Return how many draws are below the true value; of those that equal it, some at random.

    Args:
        truth: Shape ``(data set, *site)``.
        draws: Shape ``(data set, draw, *site)``.
    """
    truth, draws = truth.detach(), draws.detach()
    less, equal = (draws < truth[:, None]).sum(1), (draws == truth[:, None]).sum(1)
    return less + (torch.rand(less.shape) * (equal + 1)).long()


def _correlation(draws: Tensor) -> float:
    """Return the largest mean correlation of successive draws, of ``(data set, draw, ...)``."""
    centred = draws - draws.mean(1, keepdim=True)
    products = (centred[:, 1:] * centred[:, :-1]).sum(1) / (centred**2).sum(1)
    means = products.nanmean(0)
    return float(means.nan_to_num(0.0).max()) if means.numel() else 0.0
