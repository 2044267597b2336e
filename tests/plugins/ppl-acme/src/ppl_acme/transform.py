"""The cumulative hazard of lifetimes, as a transform."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform


class GompertzHazard(Transform):
    """Bijection from lifetimes to their hazard ``concentration * (exp(rate * t) - 1)`` so far.

    The hazard of a lifetime that follows ``Gompertz(concentration, rate)`` is exponential.

    Args:
        concentration: Hazard at birth, in units of ``rate``; positive.
        rate: Growth rate of the hazard; positive.
        cache_size: 1 to remember the last value and its image, 0 not to.
    """

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True
    sign = +1

    def __init__(self, concentration: Tensor, rate: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.concentration, self.rate = concentration, rate

    def with_cache(self, cache_size: int = 1) -> GompertzHazard:
        """Return the transform with another size of the cache."""
        return GompertzHazard(self.concentration, self.rate, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.concentration * torch.expm1(self.rate * x)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.log1p(y / self.concentration) / self.rate

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log hazard."""
        return self.concentration.log() + self.rate.log() + self.rate * x
