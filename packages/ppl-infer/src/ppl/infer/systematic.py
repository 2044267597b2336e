"""Systematic resampling of weighted particles."""

from __future__ import annotations

import torch
from torch import Tensor


def systematic_resample(log_weights: Tensor, num_samples: int | None = None) -> Tensor:
    """Return indices of particles, each in proportion to its weight and with little noise.

    One uniform draw places a comb of equal gaps over the cumulated weights (Kitagawa 1996; Douc,
    Cappe & Moulines 2005). A particle of normalized weight ``w`` is chosen ``n * w`` times on
    average, and never further than one from that.

    Args:
        log_weights: Log weights up to a constant, shape ``(particle,)``.
        num_samples: How many indices; as many as particles by default.

    Returns:
        Ascending indices, shape ``(num_samples,)``.

    Example:
        >>> systematic_resample(torch.tensor([0.5, 0.0, 0.5]).log(), 4)
        tensor([0, 0, 2, 2])
    """
    n = len(log_weights) if num_samples is None else num_samples
    weights = log_weights.double().softmax(0)
    comb = torch.arange(n, dtype=torch.double, device=weights.device) + torch.rand(
        (), dtype=torch.double, device=weights.device
    )
    heights = weights.cumsum(0) * (n / weights.sum())
    last = int(weights.nonzero()[-1])  # rounding must not choose one of weight zero
    return torch.searchsorted(heights, comb, right=True).clamp(max=last)
