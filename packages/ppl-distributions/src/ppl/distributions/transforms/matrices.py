"""Fixed transforms of matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import CorrCholeskyTransform, Transform

from .. import constraints
from ..cholesky import nan_cholesky


class SoftplusLowerCholeskyTransform(Transform):
    """Map from square matrices to lower triangular ones with a positive diagonal, by softplus."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.softplus_lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftplusLowerCholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        diagonal = torch.nn.functional.softplus(x.diagonal(dim1=-2, dim2=-1))
        return x.tril(-1) + diagonal.diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        diagonal = y.diagonal(dim1=-2, dim2=-1)
        return y.tril(-1) + (diagonal + (-(-diagonal).expm1()).log()).diag_embed()


class UnitLowerCholeskyTransform(Transform):
    """Map from square matrices to lower triangular ones with ones on the diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.unit_lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitLowerCholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class CorrLCholeskyTransform(CorrCholeskyTransform):
    """Bijection from vectors of length ``d (d - 1) / 2`` to Cholesky factors of correlations.

    The name that ``CorrCholeskyTransform`` had before torch adopted it.
    """


class CorrMatrixCholeskyTransform(Transform):
    """Bijection from correlation matrices to their lower Cholesky factors."""

    domain = constraints.corr_matrix
    codomain = constraints.corr_cholesky
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CorrMatrixCholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        return nan_cholesky(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y @ y.mT

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log Jacobian of the entries below the diagonal.

        ``R = L L^T`` has ``dR[i, j] / dL[i, j] = L[j, j]`` below the diagonal, so column ``j``
        contributes ``L[j, j]`` once for each of its ``n - 1 - j`` entries.
        """
        log_diagonal = y.diagonal(dim1=-2, dim2=-1).log()
        powers = torch.arange(y.shape[-1] - 1, -1, -1, device=y.device)
        return -(powers * log_diagonal).sum(-1)


class LowerCholeskyBijection(Transform):
    """Bijection from vectors of length ``n (n + 1) / 2`` to lower triangular Cholesky factors.

    Entries are taken row by row; those of the diagonal are exponentiated.

    Example:
        >>> LowerCholeskyBijection()(torch.tensor([0.0, 2.0, 0.0]))
        tensor([[1., 0.],
                [2., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.lower_cholesky
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyBijection)

    def _call(self, x: Tensor) -> Tensor:
        n = _side(x.shape[-1])
        rows = torch.arange(n, device=x.device)
        position = rows * (rows + 1) // 2  # of the first entry of each row
        entry = (position.unsqueeze(-1) + rows).clamp(max=x.shape[-1] - 1)
        matrix = x[..., entry]
        return matrix.tril(-1) + matrix.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        logs = y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()
        row, column = torch.tril_indices(y.shape[-1], y.shape[-1], device=y.device)
        return logs[..., row, column]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return y.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-1], _side(shape[-1]), _side(shape[-1])))

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-2], shape[-1] * (shape[-1] + 1) // 2))


def _side(length: int) -> int:
    """Return ``n`` for a vector of ``n (n + 1) / 2`` entries."""
    return (math.isqrt(8 * length + 1) - 1) // 2


class GramTransform(Transform):
    """Bijection from lower Cholesky factors ``L`` to positive definite matrices ``L L^T``."""

    domain = constraints.lower_cholesky
    codomain = constraints.positive_definite
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GramTransform)

    def _call(self, x: Tensor) -> Tensor:
        return x @ x.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return nan_cholesky(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``n log 2 + sum_i (n - i) log L[i, i]``, counting rows from 0 (Muirhead 1982)."""
        n = x.shape[-1]
        powers = torch.arange(n, 0, -1, device=x.device)
        return n * math.log(2) + (powers * x.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
