"""Fixed transforms of matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from ppl.ops.cholesky import eye_like, nan_cholesky

from .. import constraints


class SoftplusLowerCholeskyTransform(Transform):
    """Map from square matrices to lower triangular ones with a positive diagonal, by softplus."""

    domain: constraints.Constraint = constraints.independent(constraints.real, 2)
    codomain: constraints.Constraint = constraints.softplus_lower_cholesky

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

    domain: constraints.Constraint = constraints.independent(constraints.real, 2)
    codomain: constraints.Constraint = constraints.unit_lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitLowerCholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + eye_like(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class CholeskyTransform(Transform):
    """Bijection from positive definite matrices to their lower Cholesky factors.

    The factor of a matrix that is not positive definite is nan.

    Example:
        >>> CholeskyTransform()(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2., 0.],
                [1., 1.]])
    """

    domain: constraints.Constraint = constraints.positive_definite
    codomain: constraints.Constraint = constraints.lower_cholesky
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        return nan_cholesky(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y @ y.mT

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log Jacobian of the lower triangles.

        It is ``-n log 2 - sum_i (n - i) log L[i, i]``, counting rows from 0 (Muirhead 1982,
        theorem 2.1.9).
        """
        n = y.shape[-1]
        powers = torch.arange(n, 0, -1, device=y.device)
        return -n * math.log(2) - (powers * y.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
