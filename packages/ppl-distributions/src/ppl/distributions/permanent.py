"""Logs of matrix permanents: sums over all ways to pick one entry from each row and column."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ppl.errors import ShapeError

_LARGEST = 16


def log_permanent(logits: Tensor) -> Tensor:
    """Return the log permanent of the matrix with entries ``exp(logits)``, exactly.

    Args:
        logits: Shape ``(*batch, n, n)`` with ``n <= 16``; the time is ``O(n 2^n)``.
    Returns:
        Shape ``batch``.
    Raises:
        ShapeError: If the matrix is too large.

    Example:
        >>> log_permanent(torch.zeros(3, 3)).exp()
        tensor(6.)
    """
    return log_permanents_of_subsets(logits)[..., -1]


def log_permanents_of_subsets(logits: Tensor) -> Tensor:
    """Return log permanents of the first rows, as many as there are columns in a subset.

    A subset is the number whose bits are its columns. Its permanent sums over the columns for the
    last row, and what is left is a subset with one less (Bellman 1962; Held and Karp 1962).

    Returns:
        Shape ``(*batch, 2 ** n)``.
    """
    n = logits.shape[-1]
    if n > _LARGEST:
        raise ShapeError(
            f"a permanent of {n} rows has too many terms to be exact (more than {_LARGEST} rows); "
            "use the approximation by belief propagation, bp_iters=10"
        )
    logits = finite_logits(logits)
    table = logits.new_zeros(logits.shape[:-2] + (1,))
    for row in range(n):
        column, rest = (index.to(logits.device) for index in _subsets(n, row + 1))
        terms = table[..., rest] + logits[..., row, :][..., column]
        table = torch.cat([table, terms.logsumexp(-1)], -1)
    return table[..., _position(n).to(logits.device)]


@cache
def _position(n: int) -> Tensor:
    """Return where each subset is found when they are ordered by size, shape ``(2 ** n,)``."""
    order = sorted(range(2**n), key=lambda subset: (subset.bit_count(), subset))
    return torch.tensor(order).argsort()


@cache
def _subsets(n: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the columns of each subset of a size, and the positions of the subset without each.

    Both have shape ``(n choose size, size)``.
    """
    subsets = [subset for subset in range(2**n) if subset.bit_count() == size]
    columns = torch.tensor([[j for j in range(n) if subset >> j & 1] for subset in subsets])
    return columns, _position(n)[torch.tensor(subsets).unsqueeze(-1) - (1 << columns)]


def finite_logits(logits: Tensor) -> Tensor:
    """Return logits with forbidden pairs merely impossible, for -inf would give nan gradients."""
    return logits.clamp(min=torch.finfo(logits.dtype).min / 4 / logits.shape[-1])
