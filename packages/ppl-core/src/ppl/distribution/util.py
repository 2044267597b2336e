"""Shapes, sums and masks that distributions and handlers share."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from ppl.errors import ShapeError


def broadcast_shape(*shapes: tuple[int, ...], strict: bool = False) -> tuple[int, ...]:
    """Return the shape that tensors of the given shapes broadcast to.

    Args:
        shapes: Shapes, aligned at the right.
        strict: If true, a size of 1 does not stretch (missing dimensions still do).
    Raises:
        ShapeError: If two sizes disagree.

    Example:
        >>> broadcast_shape((2, 1), (3,))
        (2, 3)
    """
    result: list[int] = []  # from right to left
    for shape in shapes:
        for i, size in enumerate(reversed(shape)):
            if i == len(result):
                result.append(size)
            elif result[i] == 1 and not strict:
                result[i] = size
            elif result[i] != size and (strict or size != 1):
                listed = " vs ".join(str(tuple(shape)) for shape in shapes)
                raise ShapeError(f"shapes cannot be broadcast together: {listed}")
    return tuple(reversed(result))


@overload
def sum_rightmost(value: Tensor, dim: float) -> Tensor: ...
@overload
def sum_rightmost(value: Tensor | float, dim: float) -> Tensor | float: ...
def sum_rightmost(value: Tensor | float, dim: float) -> Tensor | float:
    """Return ``value`` summed over its ``dim`` rightmost dimensions.

    A negative ``dim`` keeps the ``-dim`` leftmost ones, ``inf`` none; a number is returned as it
    is.

    Example:
        >>> x = torch.ones(2, 3, 4)
        >>> [tuple(sum_rightmost(x, dim).shape) for dim in (0, 1, 2, -1)]
        [(2, 3, 4), (2, 3), (2,), (2,)]
    """
    if not isinstance(value, Tensor):
        return value
    summed = _num_summed(value, dim)
    return value.sum(tuple(range(-summed, 0))) if summed else value


@overload
def sum_leftmost(value: Tensor, dim: float) -> Tensor: ...
@overload
def sum_leftmost(value: Tensor | float, dim: float) -> Tensor | float: ...
def sum_leftmost(value: Tensor | float, dim: float) -> Tensor | float:
    """Return ``value`` summed over its ``dim`` leftmost dimensions.

    A negative ``dim`` keeps the ``-dim`` rightmost ones, ``inf`` none; a number is returned as it
    is.
    """
    if not isinstance(value, Tensor):
        return value
    summed = _num_summed(value, dim)
    return value.sum(tuple(range(summed))) if summed else value


def _num_summed(value: Tensor, dim: float) -> int:
    """Return how many dimensions to sum over: at most all of them, and all but ``-dim``."""
    return int(min(dim, value.dim()) if dim >= 0 else max(value.dim() + dim, 0))


def is_identically_zero(x: object) -> bool:
    """Return whether ``x`` is known to be zero without looking at values: a Python number 0."""
    return isinstance(x, int | float) and x == 0


def is_identically_one(x: object) -> bool:
    """Return whether ``x`` is known to be one without looking at values: a Python number 1."""
    return isinstance(x, int | float) and x == 1


@overload
def scale_and_mask(
    tensor: Tensor, scale: Tensor | float = 1.0, mask: Tensor | bool | None = None
) -> Tensor: ...
@overload
def scale_and_mask(
    tensor: Tensor | float, scale: Tensor | float = 1.0, mask: Tensor | bool | None = None
) -> Tensor | float: ...
def scale_and_mask(
    tensor: Tensor | float, scale: Tensor | float = 1.0, mask: Tensor | bool | None = None
) -> Tensor | float:
    """Return ``tensor`` times ``scale`` where ``mask`` holds, and zero elsewhere.

    Args:
        tensor: A log density (nats), or a number.
        scale: A positive number or a tensor that broadcasts with ``tensor``.
        mask: A boolean or a boolean tensor that broadcasts with ``tensor``; ``None`` means true.
    """
    if mask is None and is_identically_one(scale):
        return tensor  # almost always
    if is_identically_zero(tensor):
        return tensor
    if mask is False:
        return torch.zeros_like(tensor) if isinstance(tensor, Tensor) else 0.0
    scaled = tensor if is_identically_one(scale) else tensor * scale
    if mask is None or mask is True:
        return scaled
    return torch.where(mask, scaled, 0.0)


def logsumexp(tensor: Tensor, dim: int = -1, keepdim: bool = False) -> Tensor:
    """Return ``log(sum(exp(tensor)))`` over ``dim``."""
    return torch.logsumexp(tensor, dim=dim, keepdim=keepdim)
