"""Shapes that are asked for: of samples, and of expanded batches."""

from __future__ import annotations

from typing import Any

import torch

from ppl.arguments import wrong_type
from ppl.errors import BroadcastError


def as_shape(what: str, shape: Any) -> torch.Size:
    """Return a list or a tuple of sizes as a shape.

    Raises:
        SiteTypeError: If it is none, a single number say.

    Example:
        >>> as_shape("expand", [2, 3])
        torch.Size([2, 3])
    """
    try:
        return torch.Size(shape)
    except TypeError as error:
        needed = "a shape, such as [3]"
        raise wrong_type(what, needed, shape) from error


def shape_of_samples(dist: Any, sample_shape: Any) -> torch.Size:
    """Return the shape that is asked for of the draws from a distribution.

    Raises:
        SiteTypeError: If it is none.
    """
    if isinstance(sample_shape, torch.Size):
        return sample_shape
    return as_shape(f"the sample_shape of {type(dist).__name__}", sample_shape)


def extended_shape(dist: Any, sample_shape: Any = torch.Size()) -> torch.Size:
    """Return ``(*sample_shape, *batch_shape, *event_shape)``, the shape of a draw."""
    shape: torch.Size = shape_of_samples(dist, sample_shape) + dist._batch_shape + dist._event_shape
    return shape


def expanded_shape(dist: Any, batch_shape: Any) -> torch.Size:
    """Return ``batch_shape`` with -1 filled in, after checking that ``dist`` expands to it.

    Raises:
        SiteTypeError: If it is no shape.
        BroadcastError: If the batch shape of ``dist`` does not expand to it.
    """
    shape = as_shape(f"{type(dist).__name__}.expand", batch_shape)
    old, new = tuple(dist.batch_shape), list(shape)
    offset = len(new) - len(old)
    for dim, size in enumerate(old):
        if offset >= 0 and new[offset + dim] == -1:
            new[offset + dim] = size
        if offset < 0 or size not in (1, new[offset + dim]):
            break
    else:
        if min(new, default=0) >= 0:
            return torch.Size(new)
    raise BroadcastError(
        f"{type(dist).__name__} of batch_shape {old} cannot be expanded to {tuple(shape)}; only "
        "new dimensions on the left and sizes of 1 can grow"
    )
