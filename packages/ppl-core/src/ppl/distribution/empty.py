"""Batches of size 0: groups without rows occur in data, and score nothing.

torch checks and sums the dimensions of an event by ``reshape(..., -1)``, which is ambiguous without
elements. Where there is no element there is nothing to check, and our own sums take over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from ppl.errors import ShapeError
from ppl.validation import unchecked

from .util import broadcast_shape

T = TypeVar("T")


def make_without_members(make: Callable[[], T]) -> T:
    """Return what ``make`` makes of empty parameters, unchecked if its batch is empty.

    An event without components is another matter: torch has its say about that.
    """
    with unchecked():
        made: Any = make()
    return made if 0 in made.batch_shape else make()


def validate_sample(dist: Any, value: Tensor) -> None:
    """Check a value as torch does; of one without elements there is only the shape to check.

    Raises:
        ShapeError: If the shape is not one of values of ``dist``.
        ValueError: If the value is not in the support.
    """
    if not isinstance(value, Tensor) or value.numel():
        torch.distributions.Distribution._validate_sample(dist, value)
        return
    event_shape = value.shape[value.dim() - len(dist.event_shape) :]
    if event_shape != dist.event_shape:
        raise ShapeError(
            f"{type(dist).__name__}: a value has shape {tuple(value.shape)}, which must end with "
            f"the event_shape {tuple(dist.event_shape)}"
        )
    broadcast_shape(value.shape, dist.shape())


def lies_in(support: Any, value: Tensor) -> Tensor:
    """Return which events lie in a support, shape ``(*sample, *batch)``; without events, none."""
    if value.numel():
        inside: Tensor = support.check(value)
        return inside
    return value.new_ones(value.shape[: value.dim() - support.event_dim], dtype=torch.bool)
