"""Monotone splines of rational functions on an interval, and the identity outside of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

LEAST_SIZE = 1e-3  # of a bin, relative to all of the interval
_LEAST_SLOPE = 1e-3
_LEAST_SHARE = 0.025  # of either side of the inner knot of a linear piece


class Bins(NamedTuple):
    """Pieces of a spline, shape ``(*batch, bins)`` each, or those of some values, ``(*batch,)``.

    Knots ``left`` and ``low``, distances ``width`` and ``height`` to the next ones, the slopes at
    both, and for linear pieces the share of the width that is left of the inner knot.
    """

    left: Tensor
    low: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor
    share: Tensor


class Piece(NamedTuple):
    """The linear rational functions left and right of the inner knot of a bin (see ``_linear``)."""

    weight: Tensor
    next_weight: Tensor
    middle_weight: Tensor
    middle: Tensor  # height of the inner knot above the lower one


def make_bins(
    widths: Tensor, heights: Tensor, slopes: Tensor, shares: Tensor | None, bound: float
) -> Bins:
    """Return the bins of a spline on ``[-bound, bound]`` from unconstrained parameters.

    At the ends the slope is one, as outside (Durkan et al. 2019, "Neural Spline Flows", section
    3.1).

    Args:
        widths: Logits of the widths of the bins, shape ``(*batch, bins)``.
        heights: Logits of the heights of the bins, likewise.
        slopes: Parameters of the slopes at the inner knots, shape ``(*batch, bins - 1)``.
        shares: In (0, 1), where the inner knots are: for linear pieces only.
        bound: Half the length of the interval.
    """
    left, width = _knots(widths, bound)
    low, height = _knots(heights, bound)
    edges = pad(_LEAST_SLOPE + softplus(slopes), (1, 1), value=1.0)
    share = torch.full_like(left, 0.5) if shares is None else shares
    share = _LEAST_SHARE + (1 - 2 * _LEAST_SHARE) * share
    return Bins(left, low, width, height, edges[..., :-1], edges[..., 1:], share)


def _knots(logits: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return the left ends of bins and their sizes."""
    count = logits.shape[-1]
    sizes = LEAST_SIZE + (1 - LEAST_SIZE * count) * logits.softmax(-1)
    ends = pad(sizes[..., :-1].cumsum(-1), (1, 0))
    return bound * (2 * ends - 1), 2 * bound * sizes


def spline(
    x: Tensor, bins: Bins, bound: float, order: str, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the image of ``x`` and the log slope of the spline there.

    Args:
        x: Arguments, or images if it is the inverse, shape ``(*batch,)``.
        bins: The pieces, a batch of ``bins``.
        bound: Half the length of the interval.
        order: ``"linear"`` or ``"quadratic"``.
        inverse: Whether to return what has the image ``x``, with the slope of the spline there.
    """
    inside = x.clamp(-bound, bound)
    here = _select(inside, bins, bins.low if inverse else bins.left)
    piece, piece_inverse = _PIECES[order]
    if inverse:
        place = piece_inverse(inside - here.low, here)
        rise, log_slope = piece(place, here)
        y = here.left + here.width * place
    else:
        rise, log_slope = piece((inside - here.left) / here.width, here)
        y = here.low + rise
    is_inside = (x >= -bound) & (x <= bound)
    return torch.where(is_inside, y, x), torch.where(is_inside, log_slope, 0.0)


def _select(x: Tensor, bins: Bins, starts: Tensor) -> Bins:
    """Return the bin of each value."""
    index = (x.unsqueeze(-1) >= starts[..., 1:]).sum(-1, keepdim=True)
    shape = (*index.shape[:-1], starts.shape[-1])
    return Bins(*(part.expand(shape).gather(-1, index).squeeze(-1) for part in bins))


def _quadratic(place: Tensor, b: Bins) -> tuple[Tensor, Tensor]:
    """Return rise and log slope of a quadratic rational piece (Durkan et al. 2019, eq. 4 and 5)."""
    mean = b.height / b.width
    rest = 1 - place
    below = mean + (b.slope + b.next_slope - 2 * mean) * place * rest
    rise = b.height * (mean * place.square() + b.slope * place * rest) / below
    slope = b.next_slope * place.square() + 2 * mean * place * rest + b.slope * rest.square()
    return rise, 2 * mean.log() + slope.log() - 2 * below.log()


def _quadratic_inverse(rise: Tensor, b: Bins) -> Tensor:
    """Return where a quadratic rational piece reaches a rise (Durkan et al. 2019, eq. 6 to 8)."""
    mean = b.height / b.width
    excess = rise * (b.slope + b.next_slope - 2 * mean)
    quadratic = b.height * (mean - b.slope) + excess
    linear = b.height * b.slope - excess
    root = (linear.square() + 4 * quadratic * mean * rise).clamp(min=0)
    return 2 * mean * rise / (linear + root.sqrt())


def _parts(b: Bins) -> Piece:
    """Return the weights of the knots of a linear piece (Dolatabadi et al. 2020, eq. 7 to 9)."""
    weight = torch.ones_like(b.slope)
    next_weight = (b.slope / b.next_slope).sqrt()
    left, right = b.share, 1 - b.share
    middle = left * next_weight * b.height / (right * weight + left * next_weight)
    middle_weight = (left * weight * b.slope + right * next_weight * b.next_slope) * (
        b.width / b.height
    )
    return Piece(weight, next_weight, middle_weight, middle)


def _linear(place: Tensor, b: Bins) -> tuple[Tensor, Tensor]:
    """Return rise and log slope of a linear rational piece.

    A weighted mean of the heights of the two knots around, left or right of the inner one
    (Dolatabadi, Erfani, Leckie 2020, "Invertible Generative Modeling using Linear Rational
    Splines", algorithm 1 and eq. 10).
    """
    p = _parts(b)
    is_left = place <= b.share
    start, stop = torch.where(is_left, 0.0, b.share), torch.where(is_left, b.share, 1.0)
    low, high = torch.where(is_left, 0.0, p.middle), torch.where(is_left, p.middle, b.height)
    before = torch.where(is_left, p.weight, p.middle_weight)
    after = torch.where(is_left, p.middle_weight, p.next_weight)
    below = before * (stop - place) + after * (place - start)
    rise = (before * low * (stop - place) + after * high * (place - start)) / below
    log_slope = (before * after * (high - low) * (stop - start) / b.width).log() - 2 * below.log()
    return rise, log_slope


def _linear_inverse(rise: Tensor, b: Bins) -> Tensor:
    """Return where a linear rational piece reaches a rise (Dolatabadi et al. 2020, eq. 11)."""
    p = _parts(b)
    is_left = rise <= p.middle
    start, stop = torch.where(is_left, 0.0, b.share), torch.where(is_left, b.share, 1.0)
    low, high = torch.where(is_left, 0.0, p.middle), torch.where(is_left, p.middle, b.height)
    before = torch.where(is_left, p.weight, p.middle_weight) * (rise - low)
    after = torch.where(is_left, p.middle_weight, p.next_weight) * (high - rise)
    return (before * stop + after * start) / (before + after)


_PIECES = {
    "linear": (_linear, _linear_inverse),
    "quadratic": (_quadratic, _quadratic_inverse),
}
