"""Distribution functions and quantiles at the ends of a support, and beyond them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def cdf_everywhere(dist: Any, value: Tensor, cdf: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """Return ``cdf``, with 0 or 1 below or above the support, and nan for nan.

    There formulas are wrong or nan. A point inside stands in for a value beyond, so that its slope
    is 0.
    """
    if dist._validate_args:
        dist._validate_sample(value)
    return torch.where(value.isnan(), torch.nan, _cdf_of_numbers(dist, value, cdf))


def _cdf_of_numbers(dist: Any, value: Tensor, cdf: Callable[[Any, Tensor], Tensor]) -> Tensor:
    bounds = _bounds(dist, value)
    if bounds is None:
        return cdf(dist, value)
    low, high = bounds
    below, above = value < low, value > high
    inside = cdf(dist, torch.where(below | above, point_between(low, high), value))
    return torch.where(above, 1.0, torch.where(below, 0.0, inside))


def icdf_of_probabilities(
    dist: Any, value: Tensor, icdf: Callable[[Any, Tensor], Tensor]
) -> Tensor:
    """Return ``icdf``, and nan for what is no probability."""
    is_probability = (value >= 0) & (value <= 1)
    return torch.where(is_probability, icdf(dist, value), torch.nan)


def _bounds(dist: Any, value: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the ends of the support of a number, if it has one; beyond them is infinity."""
    try:
        support = dist.support
    except NotImplementedError:  # a support that torch knows nothing about
        return None
    if not value.is_floating_point() or not any(hasattr(support, end) for end in _ENDS):
        return None
    largest = torch.finfo(value.dtype).max
    low, high = ends_of(support, value)
    return low.clamp(min=-largest), high.clamp(max=largest)


def ends_of(support: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of an interval, infinite where it has none, with the type of a value."""
    low, high = (getattr(support, *end) for end in _ENDS.items())
    return _as_bound(low, value), _as_bound(high, value)


def point_between(low: Tensor, high: Tensor) -> Tensor:
    """Return a point between two ends, of which one or both may be as good as infinite."""
    largest = torch.finfo(low.dtype).max
    has_low, has_high = low > -largest, high < largest
    near_low = torch.where(has_high, (low + high) / 2, low + 1)
    return torch.where(has_low, near_low, torch.where(has_high, high - 1, 0.0))


_ENDS = {"lower_bound": -torch.inf, "upper_bound": torch.inf}


def _as_bound(bound: Tensor | float, value: Tensor) -> Tensor:
    return bound.to(value) if isinstance(bound, Tensor) else value.new_tensor(bound)
