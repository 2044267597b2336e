"""Draws from draws."""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.errors import ShapeError


def resample(input: Tensor, num_samples: int, dim: int = 0, replacement: bool = False) -> Tensor:
    """Return draws along ``dim`` that are chosen at random, all with the same probability.

    Args:
        input: Draws, shape ``(*batch, n, *rest)`` with ``n`` at ``dim``.
        num_samples: How many to choose.
        dim: The dimension of the draws.
        replacement: Whether a draw may be chosen more than once.

    Returns:
        The shape of ``input`` with size ``num_samples`` at ``dim``.

    Raises:
        ShapeError: If more draws are to be chosen without replacement than there are.
    """
    count = input.shape[dim]
    if num_samples > count and not replacement:
        raise ShapeError(
            f"cannot choose {num_samples} of {count} draws along dim {dim} without replacement"
        )
    if replacement:
        chosen = torch.randint(count, (num_samples,), device=input.device)
    else:
        chosen = torch.randperm(count, device=input.device)[:num_samples]
    return input.index_select(dim, chosen)
