"""Numerical densities of stable distributions (Nolan 1997, theorem 1).

With ``a = stability``, ``t = skew tan(pi a / 2)``, ``b = atan(t) / a`` and ``x > -t`` in the
coordinates S0, the density is::

    a / (pi |1 - a| (x + t)) * integral of g(u) exp(-g(u)) over -b < u < pi / 2

where ``g`` is monotone and almost a power of the distance from either end. In the log odds of the
share of the range that lies left of ``u`` the integrand is therefore smooth, has one peak and falls
at least exponentially, but it may have a sharp edge where ``g = 1``. The trapezoid rule with nodes
that crowd there is accurate to about nine digits. All this is done in log space and double
precision. The mirror image serves ``x < -t``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_NUM_NODES = 141
_NUM_ROUNDS = 13  # to 1e-5, a tenth of the width of the narrowest peak
_DEPTH = 38.0  # the part that counts is not below the peak by more than this log factor
_EDGE_DEPTH = 12.0  # nor does an edge that lies lower
_FARTHEST = 300.0  # log odds beyond which nothing counts
_NEAREST_ONE = 2e-4  # the formula loses its digits at stability 1: closer, interpolate
_NEAREST_SHIFT = 1e-9  # nor has it a value at x = -t
_EMPTY = 1e-12  # width of a range that is empty: half of the line is outside the support


class _Integrand(NamedTuple):
    """The integrand as a function of the log odds of the share left of ``u``.

    Its angles are measured from the nearest of the points where their sine vanishes: this keeps
    all digits where a tail is light.
    """

    x: Tensor  # x + t, positive
    stability: Tensor
    shift: Tensor  # t
    low_gap: Tensor  # a (pi / 2 - b), which vanishes if the tail at -t is light
    high_gap: Tensor  # pi - a (pi / 2 + b), which vanishes if the tail at infinity is light

    @property
    def width(self) -> Tensor:
        """Length of the range of ``u``."""
        return ((math.pi - self.high_gap) / self.stability).clamp(min=_EMPTY)

    def log(self, log_odds: Tensor) -> Tensor:
        """Return the log of the integrand."""
        log_g = self.log_g(log_odds).clamp(max=600.0)  # beyond, nothing is left of it
        log_slope = logsigmoid(log_odds) + logsigmoid(-log_odds)
        return log_g - log_g.exp() + log_slope + self.width.log()

    def rises(self, log_odds: Tensor) -> Tensor:
        """Return whether the integrand increases with the log odds."""
        growth = 1 - self.log_g(log_odds).clamp(max=600.0).exp()
        return growth * self.slope(log_odds) > (log_odds / 2).tanh()

    def slope(self, log_odds: Tensor) -> Tensor:
        """Return the derivative of ``log g``."""
        a, e = self.stability, 1 - self.stability
        low, high, angle = self._angles(log_odds)
        low_part = a * a * _cotangent(a * low, self.high_gap + a * high)
        high_part = _cotangent(high, self.low_gap / a + low)
        slope = (low_part + high_part) / e + e / angle.tan()
        return slope * low * high / self.width

    def log_g(self, log_odds: Tensor) -> Tensor:
        a, e = self.stability, 1 - self.stability
        low, high, angle = self._angles(log_odds)
        log_norm = self.shift.square().log1p() / 2
        log_cos = _log_sin(torch.minimum(high, self.low_gap / a + low))
        log_sin = _log_sin(torch.minimum(a * low, self.high_gap + a * high))
        log_ratio = self.x.log() + log_cos - log_norm - log_sin
        return _log_sin(angle) + log_norm - log_cos - a / e * log_ratio

    def _angles(self, log_odds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``u + b``, ``pi / 2 - u`` and ``pi / 2 + (1 - a) u - a b``, or pi less that."""
        low, high = self.width * log_odds.sigmoid(), self.width * (-log_odds).sigmoid()
        e = 1 - self.stability
        rising, falling = self.low_gap / self.stability + e * low, self.high_gap - e * high
        return low, high, torch.where(e > 0, rising, falling)


def standard_log_density(x: Tensor, stability: Tensor, skew: Tensor) -> Tensor:
    """Return the log density of a stable variable of scale 1 and location 0 in coordinates S0."""
    x64, skew, stability = torch.broadcast_tensors(x.double(), skew.double(), stability.double())
    close = (stability - 1).abs() < _NEAREST_ONE
    around = [torch.where(close, 1 + side * _NEAREST_ONE, stability) for side in (-1, 1)]
    below, above = _log_density(x64, torch.stack(around), skew)
    share = torch.where(close, (stability - 1) / (2 * _NEAREST_ONE) + 0.5, 1.0)
    gap = torch.where(close, above - below, 0.0)
    density: Tensor = above - (1 - share) * gap
    return density.to(x.dtype)


def _log_density(x: Tensor, stability: Tensor, skew: Tensor) -> Tensor:
    """Return the log density at a stability other than 1."""
    is_left = x + skew * (math.pi / 2 * stability).tan() < 0
    side = 1 - 2 * is_left.to(x)
    x, skew = side * x, side * skew
    shift = skew * (math.pi / 2 * stability).tan()
    distance = (x + shift).clamp(min=_NEAREST_SHIFT)
    g = _Integrand(distance, stability, shift, _gap(stability, skew), _gap(2 - stability, -skew))
    log_factor = stability.log() - math.log(math.pi) - (1 - stability).abs().log() - distance.log()
    return torch.where(g.width > _EMPTY, log_factor + _log_integral(g), -torch.inf)


def _gap(stability: Tensor, skew: Tensor) -> Tensor:
    """Return ``angle - atan(skew tan(angle))`` for ``angle = pi a / 2``, exactly 0 for skew 1."""
    angle = math.pi / 2 * stability
    sine = angle.sin()
    return torch.atan2((1 - skew) * sine, angle.cos() + skew * sine * angle.tan())


def _log_integral(g: _Integrand) -> Tensor:
    """Return the log of the integral."""
    with torch.no_grad():
        center, unit, first, last = _nodes(g)
        step = (last - first) / (_NUM_NODES - 1)
        index = torch.arange(_NUM_NODES, dtype=step.dtype, device=step.device)
        t = first.unsqueeze(-1) + step.unsqueeze(-1) * index
        nodes = center.unsqueeze(-1) + unit.unsqueeze(-1) * t.sinh()
        log_weights = (unit * step).log().unsqueeze(-1) + t.cosh().log()
    terms = _Integrand(*(part.unsqueeze(-1) for part in g)).log(nodes)
    return (terms + log_weights).logsumexp(-1)


def _nodes(g: _Integrand) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ``c``, ``d`` and the range of ``t`` in the nodes ``c + d sinh(t)``."""
    far = torch.full_like(g.x, _FARTHEST)
    peak = _search(g.rises, -far, far)
    top = g.log(peak)
    side = torch.tensor([-1.0, 1.0]).to(far).reshape((2,) + (1,) * far.dim())
    reach = _search(lambda r: g.log(peak + side * r) > top - _DEPTH, 0 * far, far + 0 * side)
    first, last = peak + side * reach
    falls = g.stability > 1
    edge = _search(lambda log_odds: (g.log_g(log_odds) < 0) != falls, first, last)
    counts = g.log(edge) > top - _EDGE_DEPTH
    center = torch.where(counts, edge, peak)
    unit = torch.where(counts, (1 / g.slope(edge)).abs(), 4.0).clamp(1e-8, 4.0)
    return center, unit, ((first - center) / unit).asinh(), ((last - center) / unit).asinh()


def _search(holds: Callable[[Tensor], Tensor], left: Tensor, right: Tensor) -> Tensor:
    """Return the point up to which a condition holds; each round quarters the interval."""
    quarters = torch.arange(1.0, 4.0).to(left).reshape((3,) + (1,) * right.dim())
    for _ in range(_NUM_ROUNDS):
        step = (right - left) / 4
        left = left + step * holds(left + quarters * step).sum(0)
        right = left + step
    return (left + right) / 2


def _cotangent(x: Tensor, rest: Tensor) -> Tensor:
    """Return the cotangent of ``x = pi - rest`` by the smaller of the two."""
    return torch.where(x < rest, 1 / x.tan(), -1 / rest.tan())


def _log_sin(x: Tensor) -> Tensor:
    """Return ``log(sin(x))``, and a large negative number at 0 or where rounding went below."""
    return x.sin().clamp(min=1e-300).log()
