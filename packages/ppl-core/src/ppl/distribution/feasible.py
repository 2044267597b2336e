"""A point inside a support, to stand in for a value that does not count."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import TransformedDistribution, constraints, transform_to

from .empty import lies_in
from .util import sum_rightmost


def stand_in(value: Tensor, mask: Tensor | bool, dist: Any) -> Tensor:
    """Return ``value`` with a point of the support of ``dist`` wherever ``mask`` is false.

    A density that does not count must not be evaluated at the value it belongs to: where that is
    nan, or at the end of the support, its gradient would survive the product with zero.

    Args:
        value: Shape ``(*batch, *event)``.
        mask: Broadcasts with the batch dimensions.
        dist: The distribution that is to score the values.
    """
    feasible = feasible_like(value, dist)
    if feasible is None:
        return value
    counts = torch.as_tensor(mask, device=value.device)
    counts = counts.reshape(counts.shape + (1,) * len(dist.event_shape))
    return torch.where(counts, value, feasible)


def may_be_drawn(value: Tensor, dist: Any) -> Tensor:
    """Return where values are finite and in the support, shape ``(*sample, *batch)``."""
    event_dim = len(dist.event_shape)
    finite = _all_rightmost(value.isfinite(), event_dim)
    try:
        support = dist.support
        inside = lies_in(support, value)
    except NotImplementedError:  # a support that torch knows nothing about
        return finite
    return _all_rightmost(inside, event_dim - support.event_dim) & finite


def _all_rightmost(holds: Tensor, dim: int) -> Tensor:
    return sum_rightmost(holds.logical_not(), dim) == 0


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

    Named families declare theirs, and maps of the reals onto the reals have no other.
    """
    if type(dist).support is not TransformedDistribution.support:
        return False
    through = [dist.base_dist.support, *(transform.codomain for transform in dist.transforms)]
    return not all(map(_is_real, through))


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
