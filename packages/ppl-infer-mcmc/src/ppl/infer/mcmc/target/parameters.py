"""Whether the parameters of distributions are valid, as a part of a density.

Where validation is off, an invalid parameter may well give a finite number: ``Poisson(-1)`` at 0,
``Gamma(-0.5, 1)`` anywhere.  A point with such a parameter has no density.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import lazy_property

_BOUNDS = tuple(
    type(constraint)
    for constraint in (
        constraints.greater_than(0.0),
        constraints.greater_than_eq(0.0),
        constraints.less_than(0.0),
        constraints.interval(0.0, 1.0),
        constraints.half_open_interval(0.0, 1.0),
    )
)
_PARTS = ("base_dist", "_component_distribution", "_mixture_distribution")
_simplex = constraints.independent(constraints.nonnegative, 1)  # sums are equal up to rounding
_Condition = tuple[str, str, Tensor]  # parameter, what it must be, whether it is, by batch element


def all_valid(
    sites: Iterator[tuple[str, dict[str, Any]]], nesting: int | None, only_varying: bool
) -> Tensor | None:
    """Return whether the parameters of sites are valid, ``()``; None if there is nothing to check.

    Args:
        sites: Name and site of an execution.
        nesting: The number of batch dimensions of plates, if the model enumerates sites; a site is
            valid if it is for one of the enumerated values.
        only_varying: Look only at parameters that require gradients: others were looked at before.
    """
    valid = [
        _reduced(condition, site, nesting)
        for _, site in sites
        for _, _, condition in _conditions(site["fn"], only_varying)
    ]
    return torch.stack(valid).all() if len(valid) > 1 else valid[0] if valid else None


def invalid_parameters(site: dict[str, Any], nesting: int | None) -> Iterator[tuple[str, str]]:
    """Yield the invalid parameters of a site, and what they should be."""
    for name, wanted, condition in _conditions(site["fn"], False):
        if not bool(_reduced(condition, site, nesting)):
            yield name, wanted


def _reduced(condition: Tensor, site: dict[str, Any], nesting: int | None) -> Tensor:
    """Return whether a condition holds everywhere, or where it counts, shape ``()``."""
    if site["mask"] is not None:
        condition = condition | ~torch.as_tensor(site["mask"], device=condition.device)
    if nesting is not None and condition.dim() > nesting:
        condition = condition.flatten(0, condition.dim() - nesting - 1).any(0)
    return condition.all()


def _conditions(fn: Any, only_varying: bool) -> Iterator[_Condition]:
    """Yield the bounds of a distribution's parameters, those of its parts included."""
    if not isinstance(fn, Distribution):
        return
    for part in filter(None, (getattr(fn, name, None) for name in _PARTS)):
        for name, wanted, condition in _conditions(part, only_varying):
            yield name, wanted, _as_of(fn, part, condition)
    for name, constraint in fn.arg_constraints.items():
        if name not in vars(fn) and isinstance(getattr(type(fn), name, None), lazy_property):
            continue  # the other one of logits and probs was given
        check = _checked(constraint)
        value = getattr(fn, name, None)
        if check is None or not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        if value.requires_grad or not only_varying:
            yield name, _requirement(fn, constraint), check.check(value)


def _requirement(fn: Any, constraint: Any) -> str:
    """Return what a parameter must be; bounds that are values themselves are not named."""
    has_values = any(isinstance(bound, Tensor) for bound in vars(constraint).values())
    wanted = type(constraint).__name__.lstrip("_") if has_values else str(constraint)
    return f"{wanted} in {type(fn).__name__}"


def _checked(constraint: Any) -> Any:
    """Return the part of a constraint that is cheap to check and exact, None if there is none."""
    if constraint is constraints.simplex:
        return _simplex
    base = constraint
    while isinstance(base, type(_simplex)):
        base = base.base_constraint
    return constraint if isinstance(base, _BOUNDS) else None


def _as_of(fn: Any, part: Any, condition: Tensor) -> Tensor:
    """Return a condition on a part of a distribution by the batch elements of the whole."""
    num_events = getattr(fn, "reinterpreted_batch_ndims", None)
    if num_events is None:  # a mixture has its components in the last dimension
        num_events = len(part.batch_shape) - len(fn.batch_shape)
    for _ in range(max(0, min(num_events, condition.dim()))):
        condition = condition.all(-1)
    mask = getattr(fn, "_mask", None)
    if not isinstance(mask, (bool, Tensor)):
        return condition
    return condition | ~torch.as_tensor(mask, device=condition.device)
