"""Quantiles of draws and the intervals that are made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ppl.errors import ShapeError, SupportError


def quantile(input: Tensor, probs: float | Sequence[float] | Tensor, dim: int = 0) -> Tensor:
    """Return quantiles of the draws along ``dim``, by linear interpolation of order statistics.

    Args:
        input: Draws, shape ``(*batch, n, *rest)`` with ``n`` at ``dim``.
        probs: One probability in ``[0, 1]``, or a one-dimensional sequence of ``m`` of them.
        dim: The dimension of the draws.

    Returns:
        The shape of ``input`` without ``dim`` for one probability, with size ``m`` at ``dim`` for a
        sequence. nan where a draw is nan.

    Raises:
        SupportError: If a probability is outside ``[0, 1]``.

    Example:
        >>> quantile(torch.arange(11.0), [0.25, 0.5])
        tensor([2.5000, 5.0000])
    """
    levels = _probabilities(probs, input)
    ordered = _sorted_last(input, dim)
    result = interpolate_sorted(ordered, levels.reshape(-1))
    return result.squeeze(-1) if levels.dim() == 0 else result.movedim(-1, dim)


def weighed_quantile(
    input: Tensor,
    probs: float | Sequence[float] | Tensor,
    log_weights: Tensor,
    dim: int = 0,
) -> Tensor:
    """Return quantiles of weighted draws, by linear interpolation of order statistics.

    The k-th smallest draw is the quantile at the share of the weights up to it, where the weight of
    the smallest does not count: :func:`quantile` if all weights are equal.

    Args:
        input: Draws, shape ``(*batch, n, *rest)`` with ``n`` at ``dim``.
        probs: One probability in ``[0, 1]``, or a one-dimensional sequence of ``m`` of them.
        log_weights: Logarithms of the weights, up to a constant, shape ``(n,)``.
        dim: The dimension of the draws.

    Returns:
        The shape of ``input`` without ``dim`` for one probability, with size ``m`` at ``dim`` for a
        sequence.

    Raises:
        ShapeError: If there is not one weight for each draw, or only one draw.
        SupportError: If a probability is outside ``[0, 1]``.

    Example:
        >>> weights = torch.tensor([1.0, 1.0, 2.0])
        >>> weighed_quantile(torch.tensor([0.0, 1.0, 2.0]), [0.0, 0.5, 1.0], weights.log())
        tensor([0.0000, 1.2500, 2.0000])
    """
    levels = _probabilities(probs, input)
    draws = input.to(_real_dtype(input)).movedim(dim, -1)
    if log_weights.shape != draws.shape[-1:] or len(log_weights) < 2:
        raise ShapeError(
            f"log_weights must have shape ({draws.shape[-1]},) with two weights or more, got "
            f"{tuple(log_weights.shape)}"
        )
    ordered, order = draws.sort(-1)
    weights = log_weights.to(draws).softmax(-1)[order]
    position = torch.cat([torch.zeros_like(weights[..., :1]), weights[..., 1:].cumsum(-1)], -1)
    position = position / position[..., -1:]
    result = _interpolate(ordered, position, levels.reshape(-1).to(draws))
    return result.squeeze(-1) if levels.dim() == 0 else result.movedim(-1, dim)


def pi(input: Tensor, prob: float, dim: int = 0) -> Tensor:
    """Return the central interval that holds ``prob`` of the draws along ``dim``.

    Args:
        input: Draws, shape ``(*batch, n, *rest)`` with ``n`` at ``dim``.
        prob: The mass of the interval, in ``[0, 1]``; as much is left out below as above.
        dim: The dimension of the draws.

    Returns:
        The shape of ``input`` with size 2 at ``dim``: the lower and the upper end.

    Raises:
        SupportError: If ``prob`` is outside ``[0, 1]``.
    """
    return quantile(input, [(1 - prob) / 2, (1 + prob) / 2], dim)


def hpdi(input: Tensor, prob: float, dim: int = 0) -> Tensor:
    """Return the narrowest interval that holds ``prob`` of the draws along ``dim``.

    The interval runs between two draws with ``floor(prob * n)`` steps in between, the empirical
    highest density interval of a unimodal density (Chen and Shao 1999).

    Args:
        input: Draws, shape ``(*batch, n, *rest)`` with ``n`` at ``dim``.
        prob: The mass of the interval, in ``[0, 1]``.
        dim: The dimension of the draws.

    Returns:
        The shape of ``input`` with size 2 at ``dim``: the lower and the upper end. nan where a draw
        is nan.

    Raises:
        SupportError: If ``prob`` is outside ``[0, 1]``.

    Example:
        >>> hpdi(torch.tensor([0.0, 1.0, 1.1, 1.2, 4.0]), 0.5)
        tensor([1.0000, 1.2000])
    """
    if not 0 <= prob <= 1:
        raise SupportError(f"prob must lie in [0, 1], got {prob}")
    ordered = _sorted_last(input, dim)
    num_draws = ordered.shape[-1]
    steps = min(math.floor(prob * num_draws), num_draws - 1)
    lower, upper = ordered[..., : num_draws - steps], ordered[..., steps:]
    narrowest = (upper - lower).argmin(-1, keepdim=True)
    ends = torch.cat([lower.gather(-1, narrowest), upper.gather(-1, narrowest)], -1)
    return _nan_if_missing(ends, ordered).movedim(-1, dim)


def interpolate_sorted(ordered: Tensor, levels: Tensor) -> Tensor:
    """Return quantiles of sorted draws, type 7 of Hyndman and Fan (1996).

    Args:
        ordered: Draws in ascending order, shape ``(*batch, n)``; nan sorts last.
        levels: Probabilities, shape ``(m,)``, float64 so that positions among many draws are exact.

    Returns:
        Shape ``(*batch, m)``; nan where a draw is nan.
    """
    num_draws = ordered.shape[-1]
    position = levels * num_draws + (1 - levels) - 1  # not levels * (n - 1): rounds as ArviZ does
    below = position.floor().clamp(0, num_draws - 1).long()
    above = (below + 1).clamp(max=num_draws - 1)
    lower, upper = ordered[..., below], ordered[..., above]
    # lower + weight * gap, since (1 - weight) * a + weight * a need not be a: ties must stay ties
    gap = torch.where(upper == lower, 0.0, upper - lower)  # two infinities have no gap
    weight = (position - below).clamp(0, 1).to(ordered.dtype)
    return _nan_if_missing(lower + torch.where(weight == 0, 0.0, weight * gap), ordered)


def _probabilities(probs: float | Sequence[float] | Tensor, input: Tensor) -> Tensor:
    levels = torch.as_tensor(probs, dtype=torch.float64, device=input.device)
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise SupportError(f"probs must lie in [0, 1], got {levels.tolist()}")
    return levels


def _interpolate(ordered: Tensor, position: Tensor, levels: Tensor) -> Tensor:
    """Return the piecewise linear function through ``(position, ordered)`` at ``levels``."""
    levels = levels.expand(*ordered.shape[:-1], -1).contiguous()
    right = torch.searchsorted(position.contiguous(), levels).clamp(1, ordered.shape[-1] - 1)
    start, stop = position.gather(-1, right - 1), position.gather(-1, right)
    weight = (levels - start) / torch.where(stop > start, stop - start, 1.0)
    return torch.lerp(ordered.gather(-1, right - 1), ordered.gather(-1, right), weight)


def _sorted_last(input: Tensor, dim: int) -> Tensor:
    if input.dim() == 0 or input.shape[dim] == 0:
        raise ShapeError(
            f"input has shape {tuple(input.shape)}, but at least one draw is needed along dim {dim}"
        )
    return input.to(_real_dtype(input)).movedim(dim, -1).contiguous().sort(-1).values


def _nan_if_missing(result: Tensor, ordered: Tensor) -> Tensor:
    return result.masked_fill(ordered[..., -1:].isnan(), math.nan)


def _real_dtype(input: Tensor) -> torch.dtype:
    return input.dtype if input.is_floating_point() else torch.get_default_dtype()
