"""Expansions of the log likelihood of each row of a table, as proxies of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl.errors import ArgumentError

CHUNKS_AT_ONCE = 16
MOST_NUMBERS = 2**28  # that the derivatives of all rows may have: 1 GB in single precision
RowLikelihoods = Callable[[Tensor, Tensor], Tensor]
"""Maps a position ``(dim,)`` and the indices of rows to their log likelihoods, of one shape."""


class Taylor(NamedTuple):
    """The log likelihoods of rows to second order around a position.

    Each has a last sum: that of all rows.
    """

    center: Tensor  # (dim,)
    value: Tensor  # (row + 1,)
    slope: Tensor  # (row + 1, dim)
    curvature: Tensor | None  # (row + 1, dim, dim); None for an expansion of first order

    def at(self, position: Tensor, rows: Tensor) -> Tensor:
        """Return the expansions of rows at a position; row -1 is the sum of all."""
        step = position - self.center
        found = self.value[rows] + self.slope[rows] @ step
        if self.curvature is None:
            return found
        return found + 0.5 * ((self.curvature[rows] @ step) @ step)


def expand_rows(
    likelihoods: RowLikelihoods, center: Tensor, num_rows: int, size: int, degree: int
) -> Taylor:
    """Return the expansions of all rows around a position.

    Args:
        likelihoods: Of the rows with some indices.
        center: The position, shape ``(dim,)``.
        num_rows: How many rows there are.
        size: How many indices the likelihoods take.
        degree: 1 or 2.

    Raises:
        ArgumentError: If the second derivatives do not fit into memory.
    """
    dim = len(center)
    if degree > 1 and num_rows * dim**2 > MOST_NUMBERS:
        raise ArgumentError(
            f"the second derivatives of {num_rows} rows by {dim} numbers are too many to keep: "
            "pass degree=1, perhaps with a larger subsample"
        )

    def derivatives(rows: Tensor) -> tuple[Tensor, ...]:
        """Each row by its weight in the sum: as many backward passes as numbers, not as rows."""
        value = likelihoods(center, rows)

        def slope(weights: Tensor) -> Any:
            return torch.func.grad(lambda z: (weights * likelihoods(z, rows)).sum())(center)

        def curvature(weights: Tensor) -> Any:
            of = torch.func.grad(lambda z: (weights * likelihoods(z, rows)).sum())
            return torch.func.jacrev(of)(center)

        wanted = (slope, curvature)[:degree]
        found = [torch.func.jacrev(of)(torch.ones_like(value)).movedim(-1, 0) for of in wanted]
        return (value, *found)

    parts = over_rows(derivatives, num_rows, size, center.device)
    found = [torch.cat([x, x.sum(0, keepdim=True)]) for x in parts]
    return Taylor(center, found[0], found[1], found[2] if degree > 1 else None)


def over_rows(
    fn: Callable[[Tensor], tuple[Tensor, ...]], num_rows: int, size: int, device: torch.device
) -> list[Tensor]:
    """Return what a function of `size` indices gives for all rows, in their order."""
    rows, _ = _chunks(num_rows, size, device)
    found = torch.func.vmap(fn, chunk_size=CHUNKS_AT_ONCE)(rows)
    return [x.flatten(0, 1)[:num_rows] for x in found]


def sum_over_rows(
    likelihoods: RowLikelihoods, position: Tensor, num_rows: int, size: int
) -> tuple[Tensor, Tensor]:
    """Return the sum of the log likelihoods of all rows, ``()``, and its gradient ``(dim,)``."""

    def of_chunk(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        of = torch.func.grad_and_value(lambda z: (weights * likelihoods(z, rows)).sum())
        gradient, value = of(position)
        return value, gradient

    rows, weights = _chunks(num_rows, size, position.device)
    many = torch.func.vmap(of_chunk, chunk_size=CHUNKS_AT_ONCE)
    value, gradient = many(rows, weights.to(position.dtype))
    return value.sum(), gradient.sum(0)


def _chunks(num_rows: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the indices of all rows in chunks, the last filled up, and which count."""
    number = torch.arange(-(-num_rows // size) * size, device=device)
    return (number % num_rows).reshape(-1, size), (number < num_rows).reshape(-1, size)
