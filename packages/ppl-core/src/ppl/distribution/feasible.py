"""A point inside a support, to stand in for a value that does not count."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints, transform_to


def feasible_like(value: Tensor, support: Any) -> Tensor | None:
    """Return a point of ``support`` that broadcasts with ``value``; ``None`` if none is known."""
    if support is constraints.real:  # the common case, spelled out for speed
        return value.new_zeros(())
    if isinstance(support, constraints.independent | constraints.MixtureSameFamilyConstraint):
        return feasible_like(value, support.base_constraint)
    try:
        return _discrete(value, support) if support.is_discrete else _continuous(value, support)
    except NotImplementedError:  # a support that torch knows nothing about
        return None


def _continuous(value: Tensor, support: Any) -> Tensor:
    transform = transform_to(support)
    zeros = value.new_zeros(transform.inverse_shape(value.shape))
    point: Tensor = transform(zeros)
    return point


def _discrete(value: Tensor, support: Any) -> Tensor:
    if support.event_dim == 0:
        return torch.as_tensor(getattr(support, "lower_bound", 0)).to(value)
    # one-hot and multinomial: all counts in the first category
    total = torch.as_tensor(getattr(support, "upper_bound", 1)).to(value)
    first = torch.arange(value.shape[-1], device=value.device) == 0
    return first * total.unsqueeze(-1)
