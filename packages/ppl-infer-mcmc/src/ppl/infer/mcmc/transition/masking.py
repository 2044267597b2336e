"""Per-chain choice between two records of tensors."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record")


def select(mask: Tensor, new: Record, old: Record) -> Record:
    """Return `new` for the chains where `mask` holds and `old` for the others.

    Args:
        mask: Boolean, shape ``(chain,)``.
        new: A tensor ``(chain, ...)`` or a (nested) NamedTuple of such tensors.
        old: A record of the same type and shapes.

    >>> select(torch.tensor([True, False]), torch.ones(2, 3), torch.zeros(2, 3)).sum(-1)
    tensor([3., 0.])
    """
    masks: dict[int, Tensor] = {}  # by number of dimensions: records share few shapes

    def choose(a: Any, b: Any) -> Any:
        if a is b:
            return a
        if isinstance(a, Tensor):
            if a.dim() not in masks:
                masks[a.dim()] = mask.reshape(mask.shape + (1,) * (a.dim() - 1))
            return torch.where(masks[a.dim()], a, b)
        return type(a)(*map(choose, a, b))

    chosen: Record = choose(new, old)
    return chosen
