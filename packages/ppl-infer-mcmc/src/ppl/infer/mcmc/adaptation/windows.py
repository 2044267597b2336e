"""The schedule of warm-up (Stan reference manual, "Automatic parameter tuning")."""

from __future__ import annotations

from typing import NamedTuple

PHASES = 75, 25, 50  # iterations: before the first window, of it, and after the last one
POOLED_PHASES = 5, 5, 20  # of many chains, which learn from each other
SHORTEST = 20  # a shorter warm-up adapts the step size only
FIRST, GROWTH = 10, 1.5  # of overlapping windows: iterations, and a factor


class Windows(NamedTuple):
    """When the draws of warm-up are collected for the metric, and when the metric is renewed."""

    start: int  # the first iteration that is collected
    ends: tuple[int, ...]  # after so many iterations a window ends; none: the metric stays


def windows(num_warmup: int, cross_chain_adaptation: bool = False) -> Windows:
    """Return the windows of a warm-up with so many iterations.

    A fast initial phase finds the typical set, windows of doubling length estimate the metric, and
    a fast final phase settles the step size.  A window whose successor would not fit is extended
    to the end.  Warm-ups below 150 iterations give 15 % and 10 % to the fast phases; if chains
    learn from each other, those below 30 have all phases in proportion.

    Args:
        num_warmup: Iterations of each chain.
        cross_chain_adaptation: Whether chains learn from each other: then all phases may be
            shorter.

    >>> windows(1000)
    Windows(start=75, ends=(100, 150, 250, 450, 950))
    >>> windows(100)
    Windows(start=15, ends=(90,))
    >>> windows(100, cross_chain_adaptation=True)
    Windows(start=5, ends=(10, 20, 40, 80))
    """
    if num_warmup < SHORTEST:
        return Windows(num_warmup, ())
    start, size, final = (
        _pooled_phases(num_warmup) if cross_chain_adaptation else _phases(num_warmup)
    )
    last = num_warmup - final
    ends = [start + size]
    while ends[-1] < last:
        size *= 2
        end = ends[-1] + size
        ends.append(end if end + 2 * size <= last else last)
    return Windows(start, tuple(ends))


def _phases(num_warmup: int) -> tuple[int, int, int]:
    if num_warmup >= sum(PHASES):
        return PHASES
    start, final = int(0.15 * num_warmup), int(0.1 * num_warmup)
    return start, num_warmup - start - final, final


def _pooled_phases(num_warmup: int) -> tuple[int, int, int]:
    if num_warmup >= sum(POOLED_PHASES):
        return POOLED_PHASES
    start, size, _ = (num_warmup * phase // sum(POOLED_PHASES) for phase in POOLED_PHASES)
    return start, size, num_warmup - start - size


def _settling(num_warmup: int) -> int:
    """Return how many iterations settle the step size: 15 %, up to a third of short warm-ups."""
    return max(int(0.15 * num_warmup), min(50, num_warmup // 3))


class Overlapping(NamedTuple):
    """When a metric that follows each draw forgets old ones."""

    switches: tuple[int, ...]  # after so many iterations a window ends, and the next one serves
    restarts: tuple[int, ...]  # after so many the search of the step size begins anew


def overlapping(num_warmup: int) -> Overlapping:
    """Return the windows of a metric that is renewed after every draw.

    It is learnt from the draws of the last window and of the one that is under way.  Windows grow:
    the first ones forget where the chain has come from, the last ones are long.  After the last
    restart the metric stays.

    >>> overlapping(1000)
    Overlapping(switches=(10, 25, 47, 80, 130, 205, 318, 488, 744), restarts=(850,))
    """
    if num_warmup < SHORTEST:
        return Overlapping((), ())
    end = num_warmup - _settling(num_warmup)
    switches, size = [FIRST], float(FIRST)
    while switches[-1] < end:
        size *= GROWTH
        switches.append(switches[-1] + int(size))
    return Overlapping(tuple(n for n in switches if n < end), (end,))


def doubling(num_warmup: int) -> Windows:
    """Return windows of doubling length from the start on, for metrics that few draws tell of.

    >>> doubling(1000)
    Windows(start=0, ends=(10, 30, 70, 150, 310, 850))
    """
    end = num_warmup - _settling(num_warmup)
    ends, size = [FIRST], FIRST
    while ends[-1] + 6 * size <= end:  # the next window and twice that
        size *= 2
        ends.append(ends[-1] + size)
    return Windows(0, (*ends, end)) if num_warmup >= SHORTEST else Windows(num_warmup, ())
