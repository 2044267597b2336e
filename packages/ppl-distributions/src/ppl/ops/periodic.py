"""Series that repeat themselves."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def periodic_repeat(tensor: Tensor, size: int, dim: int) -> Tensor:
    """Return a tensor repeated along ``dim`` until it has length ``size``.

    Example:
        >>> periodic_repeat(torch.tensor([1, 2, 3]), 7, dim=-1)
        tensor([1, 2, 3, 1, 2, 3, 1])
    """
    index = torch.arange(size, device=tensor.device) % tensor.shape[dim]
    return tensor.index_select(dim, index)


def periodic_cumsum(tensor: Tensor, period: int, dim: int) -> Tensor:
    """Return sums along ``dim`` of each entry and all those whole periods before it.

    Example:
        >>> periodic_cumsum(torch.tensor([1, 2, 3, 4, 5]), period=2, dim=-1)
        tensor([1, 2, 4, 6, 9])
    """
    x = tensor.movedim(dim, -1)
    size = x.shape[-1]
    rows = -(-size // period)
    padded = torch.nn.functional.pad(x, (0, rows * period - size))
    sums = padded.reshape(x.shape[:-1] + (rows, period)).cumsum(-2).flatten(-2)
    return sums[..., :size].movedim(-1, dim)


def periodic_features(
    duration: int,
    max_period: float | None = None,
    min_period: float | None = None,
    **options: Any,
) -> Tensor:
    """Return cosines and negative sines of time, at the frequencies of a periodic function.

    Args:
        duration: Number of time steps.
        max_period: The longest period; ``duration`` by default.
        min_period: All periods are longer; 2 by default, the shortest that can be told from noise.
        options: Of the result, such as ``dtype`` and ``device``.

    Returns:
        Shape ``(duration, 2 * frequencies)``.

    Raises:
        ValueError: If not ``2 <= min_period <= max_period``.

    Example:
        >>> periodic_features(4, 4).shape
        torch.Size([4, 2])
    """
    longest = float(duration) if max_period is None else float(max_period)
    shortest = 2.0 if min_period is None else float(min_period)
    if not 2 <= shortest <= longest:
        raise ValueError(
            f"periodic_features: expected 2 <= min_period <= max_period, got min_period {shortest} "
            f"and max_period {longest}"
        )
    time = torch.arange(duration, **{"dtype": torch.get_default_dtype(), **options})
    harmonic = torch.arange(1, math.ceil(longest / shortest)).to(time)
    angle = (time.unsqueeze(-1) * harmonic % longest) * (2 * math.pi / longest)
    return torch.cat([angle.cos(), -angle.sin()], -1)
