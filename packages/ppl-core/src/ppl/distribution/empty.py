"""Batches of size 0: groups without rows occur in data, and score nothing.

torch reduces the dimensions of an event by ``reshape(..., -1)``, which is ambiguous without
elements, and builds families out of its own (a Beta holds a Dirichlet). So its two reductions are
mended where they are: what they return is the same wherever they used to return.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from torch import Tensor
from torch.distributions import (
    constraints,
    independent,
    kl,
    transformed_distribution,
    transforms,
    utils,
)


def accept_empty_values() -> None:
    """Let torch check, and sum over, the dimensions of events of values without elements."""
    sum_some = utils._sum_rightmost
    if getattr(sum_some, "_accepts_empty", False):
        return

    @wraps(sum_some)
    def sum_rightmost(value: Tensor, dim: int) -> Tensor:
        if value.numel() or not 0 < dim <= value.dim():
            total: Tensor = sum_some(value, dim)
            return total
        return value.flatten(-dim).sum(-1)

    sum_rightmost._accepts_empty = True  # type: ignore[attr-defined]
    for module in (independent, kl, transformed_distribution, transforms, utils):
        vars(module)["_sum_rightmost"] = sum_rightmost
    for constraint in (
        constraints.independent,
        type(constraints.lower_triangular),
        type(constraints.lower_cholesky),
    ):
        _check_empty(constraint)


def _check_empty(constraint: Any) -> None:
    check_some = constraint.check

    @wraps(check_some)
    def check(self: Any, value: Tensor) -> Tensor:
        batch_dims = value.dim() - self.event_dim
        if value.numel() or batch_dims < 0:
            valid: Tensor = check_some(self, value)
            return valid
        return value.new_ones(value.shape[:batch_dims]).bool()

    constraint.check = check
