"""The Euclidean metric of the kinetic energy, diagonal or dense, one for each chain.

The inverse mass matrix approximates the covariance of the posterior; velocities are
``inverse @ momentum`` and momenta are drawn from a normal with covariance ``inverse^-1``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Metric(NamedTuple):
    """A mass matrix: diagonal, with shape ``(chain, dim)``, or dense, ``(chain, dim, dim)``."""

    inverse: Tensor  # the inverse mass, an estimate of the posterior covariance
    root: Tensor  # root @ root.mT is the mass: turns standard normals into momenta


def identity(position: Tensor, dense: bool = False) -> Metric:
    """Return the unit metric for positions of shape ``(chain, dim)``."""
    ones = torch.ones_like(position)
    return diagonal(ones) if not dense else Metric(ones.diag_embed(), ones.diag_embed())


def diagonal(variance: Tensor) -> Metric:
    """Return the metric whose inverse mass is diagonal; `variance` has shape ``(chain, dim)``."""
    return Metric(variance, variance.rsqrt())


def dense(covariance: Tensor) -> Metric:
    """Return the metric with a full inverse mass of shape ``(chain, dim, dim)``.

    A chain whose covariance is not positive definite to working precision keeps its diagonal.
    """
    _, info = torch.linalg.cholesky_ex(covariance)
    failed = (info != 0)[:, None, None]
    variance = covariance.diagonal(dim1=-2, dim2=-1).diag_embed()
    covariance = torch.where(failed, variance, covariance)
    factor, _ = torch.linalg.cholesky_ex(covariance)
    unit = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    root = torch.linalg.solve_triangular(factor, unit.expand_as(factor), upper=False).mT
    return Metric(covariance, root)


def velocity(metric: Metric, momentum: Tensor) -> Tensor:
    """Return ``inverse @ momentum`` for momenta of shape ``(chain, ..., dim)``."""
    return _apply(metric.inverse, momentum)


def draw_momentum(metric: Metric, normal: Tensor) -> Tensor:
    """Return momenta made of standard normals of shape ``(chain, dim)``."""
    return _apply(metric.root, normal)


def whiten(metric: Metric, momentum: Tensor) -> Tensor:
    """Return the standard normals that momenta of shape ``(chain, dim)`` are made of."""
    if metric.root.dim() == 2:
        return momentum / metric.root
    columns = momentum[..., None]
    normal: Tensor = torch.linalg.solve_triangular(metric.root, columns, upper=True)
    return normal.squeeze(-1)


def kinetic_energy(metric: Metric, momentum: Tensor) -> Tensor:
    """Return half the squared length of the momenta ``(chain, dim)``; shape ``(chain,)``."""
    return 0.5 * (momentum * velocity(metric, momentum)).sum(-1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    batch = (1,) * (vector.dim() - 2)
    if matrix.dim() == 2:
        return matrix.reshape(matrix.shape[:1] + batch + matrix.shape[1:]) * vector
    rows = vector.reshape(vector.shape[0], -1, vector.shape[-1])  # (chain, any, dim)
    return (rows @ matrix.mT).reshape(vector.shape)
