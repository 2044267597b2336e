"""Weighted draws: their number in equal ones, and a choice of these."""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.errors import ShapeError, SiteError


def checked_weights(log_weights: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """Return log weights of shape ``(chain, draw)`` that sum to one; None if all are equal.

    Raises:
        ShapeError: If they have another shape.
        SiteError: If one is nan, or none is positive.
    """
    if log_weights is None:
        return None
    if tuple(log_weights.shape) != shape:
        raise ShapeError(
            f"log_weights have shape {tuple(log_weights.shape)}, but the draws have (chain, draw) "
            f"= {shape}; pass one weight for each draw"
        )
    log_weights = log_weights.detach().double()
    total = log_weights.flatten().logsumexp(0)
    if not bool(total.isfinite()):
        raise SiteError(
            f"the log weights of {log_weights.numel()} draws sum to {total.item()}: no weight is "
            "positive and finite"
        )
    if bool((log_weights == log_weights.flatten()[0]).all()):
        return None
    return log_weights - total


def chosen(log_weights: Tensor, num_draws: int) -> Tensor:
    """Return the indices of equally weighted draws, the same at every call.

    A comb over the cumulated weights chooses a draw of weight ``w`` so often that the number
    differs from ``num_draws * w`` by less than one.

    Example:
        >>> chosen(torch.tensor([0.5, 0.0, 0.5]).log(), 4)
        tensor([0, 0, 2, 2])
    """
    weights = log_weights.double().softmax(0)
    comb = (torch.arange(num_draws, dtype=torch.double, device=weights.device) + 0.5) / num_draws
    heights = weights.cumsum(0) / weights.sum()
    last = int(weights.nonzero()[-1])  # rounding must not choose one of weight zero
    return torch.searchsorted(heights, comb, right=True).clamp(max=last)
