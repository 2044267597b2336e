"""Bijections from vectors to triangular matrices, which they fill row by row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import ExpTransform, Transform

from ppl.ops.cholesky import eye_like

from .. import constraints


class LowerCholeskyBijection(Transform):
    """Bijection from vectors of length ``n (n + 1) / 2`` to lower triangular Cholesky factors.

    Entries are taken row by row; those of the diagonal are made positive.

    Args:
        diagonal: Bijection from real numbers to positive ones; the exponential by default.
        cache_size: 1 to remember the last value and its image, 0 not to.

    Example:
        >>> LowerCholeskyBijection()(torch.tensor([0.0, 2.0, 0.0]))
        tensor([[1., 0.],
                [2., 1.]])
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.lower_cholesky
    bijective = True

    def __init__(self, diagonal: Transform | None = None, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.diagonal: Transform = ExpTransform() if diagonal is None else diagonal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyBijection) and self.diagonal == other.diagonal

    def with_cache(self, cache_size: int = 1) -> LowerCholeskyBijection:
        return LowerCholeskyBijection(self.diagonal, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        matrix = lower_triangle(x)
        diagonal: Tensor = self.diagonal(matrix.diagonal(dim1=-2, dim2=-1))
        return matrix.tril(-1) + diagonal.diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        diagonal: Tensor = self.diagonal.inv(y.diagonal(dim1=-2, dim2=-1))
        row, column = torch.tril_indices(y.shape[-1], y.shape[-1], device=y.device)
        return (y.tril(-1) + diagonal.diag_embed())[..., row, column]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        before, after = (t.diagonal(dim1=-2, dim2=-1) for t in (lower_triangle(x), y))
        log_slope: Tensor = self.diagonal.log_abs_det_jacobian(before, after)
        return log_slope.sum(-1)

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-1], side(shape[-1]), side(shape[-1])))

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-2], shape[-1] * (shape[-1] + 1) // 2))


class UnitLowerCholeskyBijection(Transform):
    """Bijection from vectors of length ``n (n - 1) / 2`` to unit lower triangular matrices.

    It fills the entries below the diagonal, row by row.

    Example:
        >>> UnitLowerCholeskyBijection()(torch.tensor([2.0]))
        tensor([[1., 0.],
                [2., 1.]])
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.unit_lower_cholesky
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitLowerCholeskyBijection)

    def _call(self, x: Tensor) -> Tensor:
        below = strict_triangle(x)
        return below + eye_like(below)

    def _inverse(self, y: Tensor) -> Tensor:
        row, column = torch.tril_indices(y.shape[-1], y.shape[-1], -1, device=y.device)
        return y[..., row, column]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def forward_shape(self, shape: Any) -> torch.Size:
        n = 1 + side(shape[-1])
        return torch.Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


def lower_triangle(x: Tensor) -> Tensor:
    """Return a matrix with the entries of a vector on and below the diagonal, row by row."""
    rows = torch.arange(side(x.shape[-1]), device=x.device)
    position = rows * (rows + 1) // 2  # of the first entry of each row
    entry = (position.unsqueeze(-1) + rows).clamp(max=x.shape[-1] - 1)
    return x[..., entry].tril()


def strict_triangle(x: Tensor) -> Tensor:
    """Return a matrix with the entries of a vector below the diagonal, row by row, zero else."""
    return torch.nn.functional.pad(lower_triangle(x), (0, 1, 1, 0))


def side(length: int) -> int:
    """Return ``n`` for a vector of ``n (n + 1) / 2`` entries."""
    return (math.isqrt(8 * length + 1) - 1) // 2
