"""Distributions over angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin


class VonMises(torch.distributions.VonMises, TorchDistributionMixin):
    """Von Mises with direction ``loc`` (radians) and ``concentration > 0``, on the circle.

    Angles may be any real number; draws lie in ``[-pi, pi)``.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # torch's polynomials for the Bessel functions give seven digits; i0e gives all
        kappa = self.concentration
        log_i0: Tensor = torch.special.i0e(kappa).log() + kappa
        return kappa * (value - self.loc).cos() - math.log(2 * math.pi) - log_i0

    @property
    def variance(self) -> Tensor:
        """Circular variance, between 0 and 1."""
        kappa = self.concentration
        resultant_length: Tensor = torch.special.i1e(kappa) / torch.special.i0e(kappa)
        return 1 - resultant_length
