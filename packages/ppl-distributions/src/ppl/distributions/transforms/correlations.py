"""Cholesky factors of correlation matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import transforms as torch_transforms
from torch.distributions.transforms import Transform

from ppl.ops.cholesky import eye_like, nan_cholesky

from .. import constraints
from .triangles import strict_triangle


class CorrCholeskyTransform(torch_transforms.CorrCholeskyTransform):
    """Bijection from vectors of length ``d (d - 1) / 2`` to Cholesky factors of correlations.

    The entries of ``x``, row by row, become canonical partial correlations ``tanh(x)``; each entry
    of a row takes its share of what the ones before it left of the unit length (Lewandowski et al.
    2009, section 2.4).

    Example:
        >>> CorrCholeskyTransform()(torch.tensor([0.0]))
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, torch_transforms.CorrCholeskyTransform)

    def _call(self, x: Tensor) -> Tensor:
        below = strict_triangle(x)
        return (below.tanh() + eye_like(below)) * _log_rest(below).exp()

    def _inverse(self, y: Tensor) -> Tensor:
        squares = y.square().flip(-1).cumsum(-1).flip(-1)
        row, column = torch.tril_indices(y.shape[-1], y.shape[-1], -1, device=y.device)
        return (y[..., row, column] / squares[..., row, column + 1].sqrt()).asinh()

    def log_abs_det_jacobian(
        self, x: Tensor, y: Tensor, intermediates: Tensor | None = None
    ) -> Tensor:
        """Return the log Jacobian of the entries below the diagonal."""
        below = strict_triangle(x)
        return (2 * _log_sech(below) + _log_rest(below).tril(-1)).sum((-2, -1))


def _log_rest(below: Tensor) -> Tensor:
    """Return the log of the length that the entries before each one have left to a row."""
    log_sech = _log_sech(below)
    return log_sech.cumsum(-1) - log_sech


def _log_sech(x: Tensor) -> Tensor:
    """Return ``log(1 / cosh(x))``, which is half the log of ``1 - tanh(x) ** 2``."""
    return math.log(2) - torch.logaddexp(x, -x)


class CorrLCholeskyTransform(CorrCholeskyTransform):
    """The name that :class:`CorrCholeskyTransform` had in earlier releases."""


class CorrMatrixCholeskyTransform(Transform):
    """Bijection from correlation matrices to their lower Cholesky factors."""

    domain: constraints.Constraint = constraints.corr_matrix
    codomain: constraints.Constraint = constraints.corr_cholesky
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
