"""The schedule of warm-up (Stan reference manual, "Automatic parameter tuning")."""

from __future__ import annotations

from typing import NamedTuple

INITIAL, FIRST, FINAL = 75, 25, 50  # iterations of a warm-up of 150 or more
SHORTEST = 20  # a shorter warm-up adapts the step size only


class Windows(NamedTuple):
    """When the draws of warm-up are collected for the metric, and when the metric is renewed."""

    start: int  # the first iteration that is collected
    ends: tuple[int, ...]  # after so many iterations a window ends; none: the metric stays


def windows(num_warmup: int) -> Windows:
    """Return the windows of a warm-up with so many iterations.

    A fast initial phase finds the typical set, windows of doubling length estimate the metric, and
    a fast final phase settles the step size.  A window whose successor would not fit is extended
    to the end.  Warm-ups below 150 iterations give 15 % and 10 % to the fast phases.

    >>> windows(1000)
    Windows(start=75, ends=(100, 150, 250, 450, 950))
    >>> windows(100)
    Windows(start=15, ends=(90,))
    """
    if num_warmup < SHORTEST:
        return Windows(num_warmup, ())
    start, size, final = _phases(num_warmup)
    last = num_warmup - final
    ends = [start + size]
    while ends[-1] < last:
        size *= 2
        end = ends[-1] + size
        ends.append(end if end + 2 * size <= last else last)
    return Windows(start, tuple(ends))


def _phases(num_warmup: int) -> tuple[int, int, int]:
    if num_warmup >= INITIAL + FIRST + FINAL:
        return INITIAL, FIRST, FINAL
    start, final = int(0.15 * num_warmup), int(0.1 * num_warmup)
    return start, num_warmup - start - final, final
