"""The probabilities at which quantiles are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppl.errors import SupportError


def probabilities(quantiles: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return probabilities as a vector of the dtype and device of another tensor.

    Raises:
        SupportError: If they are no sequence of numbers between 0 and 1.
    """
    try:
        levels = torch.as_tensor(quantiles, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError):
        levels = like.new_zeros(())
    if levels.dim() != 1 or not bool(((levels >= 0) & (levels <= 1)).all()):
        raise SupportError(
            f"quantiles must be a list of probabilities between 0 and 1, got {quantiles!r}"
        )
    return levels


def normal_quantiles(quantiles: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return the quantiles of a standard normal, as a vector.

    Raises:
        SupportError: If ``quantiles`` is no sequence of numbers between 0 and 1.
    """
    levels: Tensor = torch.special.ndtri(probabilities(quantiles, like))
    return levels


def mixture_quantiles(levels: Tensor, weights: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Return the quantiles of each component of a mixture of normals, by bisection.

    Args:
        levels: Probabilities, shape ``(quantile,)``.
        weights: Shape ``(part,)``, with sum one.
        loc: The means, shape ``(part, dim)``.
        scale: The standard deviations.

    Returns:
        Shape ``(quantile, dim)``.

    Example:
        >>> loc = torch.tensor([[-1.0], [1.0]])
        >>> half = torch.tensor([0.5])
        >>> mixture_quantiles(half, torch.tensor([0.5, 0.5]), loc, torch.ones(2, 1)).abs() < 1e-5
        tensor([[True]])
    """
    used = weights > 0
    weights, loc, scale = (x[used].unsqueeze(1) for x in (weights, loc, scale))
    ends: Tensor = loc + scale * torch.special.ndtri(levels).unsqueeze(-1)  # (part, quantile, dim)
    low: Tensor = ends.amin(0)
    high: Tensor = ends.amax(0)
    for _ in range(64):
        middle = low / 2 + high / 2
        level = (weights.unsqueeze(-1) * torch.special.ndtr((middle - loc) / scale)).sum(0)
        below = level < levels.unsqueeze(-1)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return high
