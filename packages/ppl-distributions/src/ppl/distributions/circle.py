"""Distributions over angles."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin

from .noise import standard_uniform
from .rejection import first_accepted

_ROUNDS = 26  # of which each accepts more than 65 of 100: all fail once in 1e12 draws


class VonMises(torch.distributions.VonMises, TorchDistributionMixin):
    """Von Mises with direction ``loc`` (radians) and ``concentration > 0``, on the circle.

    Angles may be any real number; draws lie in ``[-pi, pi)``.
    """

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw by the method of Best and Fisher (1979), in double precision."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            kappa = self.concentration.double()
            excess = _excess(kappa)
            angle = first_accepted(lambda: _wrapped_cauchy(kappa, excess, shape), _ROUNDS)
            angle = angle.to(self.loc) + self.loc
            return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # torch's polynomials for the Bessel functions give seven digits; i0e gives all
        kappa = self.concentration
        log_i0e: Tensor = torch.special.i0e(kappa).log()  # log(I0) less kappa
        fall = 2 * kappa * ((value - self.loc) / 2).sin().square()  # kappa * (1 - cos)
        return -fall - math.log(2 * math.pi) - log_i0e

    @property
    def variance(self) -> Tensor:
        """Circular variance, between 0 and 1."""
        kappa = self.concentration
        resultant_length: Tensor = torch.special.i1e(kappa) / torch.special.i0e(kappa)
        return 1 - resultant_length


def _excess(kappa: Tensor) -> Tensor:
    """Return ``r - 1`` of Best and Fisher, written so that no digits cancel."""
    tau = 1 + (1 + 4 * kappa.square()).sqrt()
    rho = 2 * kappa / (tau + (2 * tau).sqrt())
    return (1 - rho).square() / (2 * rho)


def _wrapped_cauchy(kappa: Tensor, excess: Tensor, shape: Any) -> tuple[Tensor, Tensor]:
    """Return proposals for von Mises angles around 0, and whether each is accepted."""
    u, v, side = (standard_uniform(shape, kappa) for _ in range(3))
    z = (math.pi * u).cos()
    reach = excess / (1 + excess + z)
    c = kappa * reach * (2 + excess)
    angle = 2 * (reach * (1 - z) / 2).sqrt().clamp(max=1.0).asin()
    return torch.where(side < 0.5, -angle, angle), (c / v).log() + 1 - c >= 0
