"""Matrices that are dense in their first rows and columns and diagonal elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .cholesky import eye_like, nan_cholesky, triangular_solve


class SymmArrowhead(NamedTuple):
    """A symmetric matrix of size ``n`` whose lower right block is diagonal.

    Attributes:
        top: The first rows, shape ``(head, n)``.
        bottom_diag: The rest of the diagonal, shape ``(n - head,)``.
    """

    top: Tensor
    bottom_diag: Tensor


class TriuArrowhead(NamedTuple):
    """An upper triangular matrix of size ``n`` whose lower right block is diagonal.

    Attributes:
        top: The first rows, zero below the diagonal, shape ``(head, n)``.
        bottom_diag: The rest of the diagonal, shape ``(n - head,)``.
    """

    top: Tensor
    bottom_diag: Tensor


def sqrt(x: SymmArrowhead) -> TriuArrowhead:
    """Return the upper triangular U with ``U @ U.T`` equal to ``x``.

    Args:
        x: Positive definite; otherwise the result has nan.

    Example:
        >>> sqrt(SymmArrowhead(torch.tensor([[5.0, 4.0]]), torch.tensor([4.0])))
        TriuArrowhead(top=tensor([[1., 2.]]), bottom_diag=tensor([2.]))
    """
    bottom_diag = x.bottom_diag.sqrt()
    corner, wing = _blocks(x.top)
    wing = wing / bottom_diag
    rest = corner - wing @ wing.mT
    upper = nan_cholesky(rest.flip(-2, -1)).flip(-2, -1)  # reversed, lower is upper
    return TriuArrowhead(torch.cat([upper, wing], -1), bottom_diag)


def triu_inverse(x: TriuArrowhead) -> TriuArrowhead:
    """Return the inverse."""
    corner, wing = _blocks(x.top)
    inverse = triangular_solve(eye_like(corner), corner, upper=True)
    wing = -(inverse @ wing) / x.bottom_diag
    return TriuArrowhead(torch.cat([inverse, wing], -1), x.bottom_diag.reciprocal())


def triu_matvecmul(x: TriuArrowhead, y: Tensor, transpose: bool = False) -> Tensor:
    """Return the product of ``x``, or of its transpose, and a vector ``y``, shape ``(n,)``."""
    head = x.top.shape[-2]
    bottom = x.bottom_diag * y[head:]
    if transpose:
        return x.top.mT @ y[:head] + pad(bottom, (head, 0))
    return torch.cat([x.top @ y, bottom])


def triu_gram(x: TriuArrowhead) -> Tensor:
    """Return ``x.T @ x``, shape ``(n, n)``; or its diagonal if all of it is diagonal."""
    squares = x.bottom_diag.square()
    head = x.top.shape[-2]
    if head == 0:
        return squares
    return x.top.mT @ x.top + pad(squares, (head, 0)).diag()


def _blocks(top: Tensor) -> tuple[Tensor, Tensor]:
    head, n = top.shape[-2:]
    corner, wing = top.split_with_sizes((head, n - head), -1)
    return corner, wing
