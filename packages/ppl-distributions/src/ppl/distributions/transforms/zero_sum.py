"""Coordinates of vectors whose entries sum to zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from .. import constraints


class ZeroSumTransform(Transform):
    """Isometry from real vectors of ``n - 1`` entries onto vectors of ``n`` that sum to zero.

    The reflection that exchanges the last axis and the diagonal maps the span of the other axes
    onto the hyperplane of sum zero. Lengths are kept, so a density over the hyperplane is the
    density of its coordinates.

    Example:
        >>> ZeroSumTransform()(torch.tensor([2.0, 2.0, 2.0]))
        tensor([ 1.,  1.,  1., -3.])
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.zero_sum
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZeroSumTransform)

    def _call(self, x: Tensor) -> Tensor:
        root = math.sqrt(x.shape[-1] + 1)
        total = x.sum(-1, keepdim=True)
        return torch.cat([x - total / (root * (root + 1)), -total / root], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        root = math.sqrt(y.shape[-1])
        return y[..., :-1] - y[..., -1:] / (root + 1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size(shape[:-1]) + (shape[-1] + 1,)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size(shape[:-1]) + (shape[-1] - 1,)
