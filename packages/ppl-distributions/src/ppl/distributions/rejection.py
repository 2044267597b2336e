"""Rejection sampling that ``vmap`` and ``make_fx`` can follow."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def first_accepted(propose: Callable[[], tuple[Tensor, Tensor]], rounds: int) -> Tensor:
    """Return, entry by entry, the first proposal that is accepted.

    Rounds end early when all entries are settled, where this can be seen: not in a recording or
    under ``vmap``, which go through all of them.

    Args:
        propose: Returns proposals, and whether each is accepted.
        rounds: Enough of them that the chance of an entry without any accepted proposal, which
            keeps its first one, is negligible.
    """
    value, accepted = propose()
    for _ in range(rounds - 1):
        if _is_known(accepted.all()):
            break
        other, passes = propose()
        value = torch.where(accepted, value, other)
        accepted = accepted | passes
    return value


def _is_known(condition: Tensor) -> bool:
    """Return whether a condition holds and may be read."""
    try:
        return bool(condition)
    except RuntimeError:  # what vmap and make_fx say to a branch on values
        return False
