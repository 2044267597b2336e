"""The schedule of warm-up (Stan reference manual, "Automatic parameter tuning")."""

from __future__ import annotations

from typing import NamedTuple

PHASES = 75, 25, 50  # iterations: before the first window, of it, and after the last one
POOLED_PHASES = 5, 5, 20  # of many chains, which learn from each other
SHORTEST = 20  # a shorter warm-up adapts the step size only


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
