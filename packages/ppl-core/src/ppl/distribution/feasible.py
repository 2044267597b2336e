"""A point inside a support, to stand in for a value that does not count."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import TransformedDistribution, constraints, transform_to


def feasible_like(value: Tensor, dist: Any) -> Tensor | None:
    """Return a point in the support of ``dist`` that broadcasts with ``value``, if one is known."""
    if isinstance(dist, TransformedDistribution):
        if _has_vague_support(dist):
            return _image(value, dist)
    elif hasattr(dist, "base_dist"):
        return feasible_like(value, dist.base_dist)
    try:
        return _in_support(value, dist.support)
    except NotImplementedError:  # a support that torch knows nothing about
        return None


def _has_vague_support(dist: TransformedDistribution) -> bool:
    """Return whether the support is only the codomain of the last transform, which may be larger.

    Named families declare theirs, and a composition of maps onto the reals has no other.
    """
    if type(dist).support is not TransformedDistribution.support:
        return False
    return not all(_is_real(transform.codomain) for transform in dist.transforms)


def _image(value: Tensor, dist: TransformedDistribution) -> Tensor | None:
    shape = value.shape
    for transform in reversed(dist.transforms):
        shape = transform.inverse_shape(shape)
    point = feasible_like(value.new_zeros(shape), dist.base_dist)
    if point is not None:
        point = point.expand(shape)
        for transform in dist.transforms:
            point = transform(point)
    return point


def _is_real(constraint: Any) -> bool:
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    return isinstance(constraint, type(constraints.real))


def _in_support(value: Tensor, support: Any) -> Tensor:
    if support is constraints.real:  # the common case, spelled out for speed
        return value.new_zeros(())
    if isinstance(support, constraints.independent | constraints.MixtureSameFamilyConstraint):
        return _in_support(value, support.base_constraint)
    if support.is_discrete:
        return _discrete(value, support)
    transform = transform_to(support)
    point: Tensor = transform(value.new_zeros(transform.inverse_shape(value.shape)))
    return point


def _discrete(value: Tensor, support: Any) -> Tensor:
    if support.event_dim == 0:
        return torch.as_tensor(getattr(support, "lower_bound", 0)).to(value)
    # one-hot and multinomial: all counts in the first category
    total = torch.as_tensor(getattr(support, "upper_bound", 1)).to(value)
    first = torch.arange(value.shape[-1], device=value.device) == 0
    return first * total.unsqueeze(-1)
