"""When to stop a fit: a sequential test whose rate of false stops is declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from ppl.errors import ArgumentError
from ppl.infer.arguments import positive_int

NUM_PARTS = 40  # of a window, whose means are nearly independent


class EarlyStopping:
    """Stops a fit once the mean loss surely falls by less than a tolerance from window to window.

    Every ``window`` steps the mean loss of the last quarter of all steps (of the last window, while
    that is longer) is compared with that of as many steps before. The fit stops if an upper
    confidence bound of the fall is below the tolerance. The standard error comes from the means of
    forty parts of each, since losses of nearby steps depend on each other (batch means; Alexopoulos
    & Seila 1996), and the level of the ``k``-th comparison is
    ``6 * false_stop_rate / (pi * k) ** 2``, so that those of all of them add up. Noise that drowns
    the fall makes a fit longer, and never stops it.

    Args:
        window: The number of steps between two comparisons, 80 or more.
        tolerance: The fall of the mean loss, in nats, that is worth going on for; by default a
            quarter of the standard deviation of the losses' noise.
        false_stop_rate: The largest probability to stop, at any comparison of a fit, while the mean
            loss falls by the tolerance or more.

    Raises:
        ArgumentError: If an argument is out of its range.
    """

    def __init__(
        self, window: int = 500, tolerance: float | None = None, false_stop_rate: float = 0.01
    ) -> None:
        self.window: int = positive_int("window", window, at_least=2 * NUM_PARTS)
        if tolerance is not None and not tolerance > 0:
            raise ArgumentError(f"tolerance must be positive, got {tolerance!r}")
        if not 0 < false_stop_rate < 1:
            raise ArgumentError(f"false_stop_rate must lie in (0, 1), got {false_stop_rate!r}")
        self.tolerance: float | None
        self.false_stop_rate: float
        self.tolerance, self.false_stop_rate = tolerance, false_stop_rate

    def __repr__(self) -> str:
        shown = f"tolerance={self.tolerance}, false_stop_rate={self.false_stop_rate}"
        return f"EarlyStopping(window={self.window}, {shown})"

    def should_stop(self, losses: Sequence[float]) -> bool:
        """Return whether a fit with these losses, one a step, is to stop now.

        The answer is a function of the losses alone, and no other than False within a window.
        """
        number, rest = divmod(len(losses), self.window)
        if rest or number < 2:
            return False
        size = max(self.window, len(losses) // 4)
        before, last = torch.as_tensor(losses[-2 * size :], dtype=torch.float64).split(size)
        before, last = before[before.isfinite()], last[last.isfinite()]  # without skipped steps
        if min(len(before), len(last)) < 2 * NUM_PARTS:
            return False
        variance = _variance_of_mean(before) + _variance_of_mean(last)
        level = 6 * self.false_stop_rate / (math.pi * (number - 1)) ** 2
        bound = before.mean() - last.mean() + _quantile(1 - level) * variance.sqrt()
        return bool(bound < self._tolerance(last))

    def _tolerance(self, losses: Tensor) -> float:
        if self.tolerance is not None:
            return self.tolerance
        noise = (losses.diff().square().mean() / 2).sqrt()  # whatever their trend
        return float(noise / 4 + 1e-6 * losses.mean().abs())


def _variance_of_mean(losses: Tensor) -> Tensor:
    """Return the squared standard error of the mean of losses that depend on those nearby."""
    size = len(losses) // NUM_PARTS
    parts = losses[-size * NUM_PARTS :].reshape(NUM_PARTS, size).mean(-1)
    return parts.var() / NUM_PARTS


def _quantile(probability: float) -> float:
    """Return a quantile of Student's distribution, by an expansion around the normal one.

    With the degrees of freedom of one window it is on the safe side for two.
    """
    z, freedom = NormalDist().inv_cdf(probability), NUM_PARTS - 1
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + (z**3 + z) / (4 * freedom) + second
