"""Bounds that a wrapper puts on the values of a univariate distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to

from ppl.distribution.feasible import feasible_like
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError

from .parameters import first_tensor

Bound = Tensor | float | None

BOUND = constraints.dependent(is_discrete=False, event_dim=0)


def broadcast_bounds(dist: Any, **bounds: Bound) -> tuple[Any, dict[str, Tensor]]:
    """Return a distribution and those of the bounds that are given, with one batch shape.

    Raises:
        ShapeError: If ``dist`` is not univariate.
    """
    if dist.event_dim != 0:
        raise ShapeError(
            f"bounds are for numbers, but {type(dist).__name__} has event_shape "
            f"{tuple(dist.event_shape)}; bound its components before to_event()"
        )
    like = parameter_of(dist)
    given = {
        name: bound if isinstance(bound, Tensor) else like.new_tensor(bound)
        for name, bound in bounds.items()
        if bound is not None
    }
    shape = torch.Size(broadcast_shape(dist.batch_shape, *(b.shape for b in given.values())))
    dist = dist if dist.batch_shape == shape else dist.expand(shape)
    return dist, {name: bound.expand(shape) for name, bound in given.items()}


def parameter_of(dist: Any) -> Tensor:
    """Return a parameter of a distribution, for its type and device."""
    parameter = first_tensor(getattr(dist, name) for name in dist.arg_constraints)
    return torch.empty(()) if parameter is None else parameter


def log_mass(
    tail: Callable[[Any, Tensor], Tensor], dist: Any, bound: Tensor, at_infinity: float
) -> Tensor:
    """Return the log mass of a tail beyond a bound, or ``at_infinity`` for an infinite bound.

    There the derivative of a tail is nan; a point inside the support stands in.
    """
    finite = bound.isfinite()
    inside = feasible_like(bound, dist)
    at_bound = tail(dist, torch.where(finite, bound, 0.0 if inside is None else inside))
    return torch.where(finite, at_bound, at_infinity)


class _AtMost(type(constraints.less_than(0.0))):  # type: ignore[misc]
    """Numbers up to a bound and the bound itself."""

    def check(self, value: Tensor) -> Tensor:
        within: Tensor = value <= self.upper_bound
        return within


biject_to.register(_AtMost, lambda c: biject_to(constraints.less_than(c.upper_bound)))
transform_to.register(_AtMost, lambda c: transform_to(constraints.less_than(c.upper_bound)))


def interval(support: Any, low: Tensor | None, high: Tensor | None) -> Any:
    """Return the constraint of values of a support that lie between the bounds."""
    lower, upper = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    low = _tighter(torch.maximum, low, lower)
    high = _tighter(torch.minimum, high, upper)
    if low is None:
        return support if high is None else _AtMost(high)
    return constraints.greater_than_eq(low) if high is None else constraints.interval(low, high)


def _tighter(pick: Callable[[Tensor, Tensor], Tensor], bound: Tensor | None, other: Any) -> Any:
    if bound is None or other is None:
        return other if bound is None else bound
    return pick(bound, torch.as_tensor(other).to(bound))
