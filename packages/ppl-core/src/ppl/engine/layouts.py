"""Tensors of one layout in another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def laid_out(values: Tensor, strides: Sequence[int]) -> Tensor:
    """Return a new tensor with these values and strides."""
    other = torch.empty_strided(values.shape, strides, dtype=values.dtype, device=values.device)
    return other.copy_(values)
