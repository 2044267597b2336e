"""Counts whose rate is a gamma variable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from . import saddle_point
from .expansion import expand_parameters
from .positive import Gamma


class GammaPoisson(TorchDistribution):
    """Poisson whose rate is drawn from a gamma distribution.

    It is the negative binomial with ``total_count=concentration`` and ``probs=1 / (1 + rate)``.

    Args:
        concentration: Shape of the gamma distribution, positive.
        rate: Rate (inverse scale) of the gamma distribution, positive.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support: constraints.Constraint = constraints.nonnegative_integer

    def __init__(
        self,
        concentration: Tensor | float,
        rate: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self._gamma = Gamma(concentration, rate, validate_args=False)
        super().__init__(self._gamma.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = expand_parameters(self, batch_shape, _instance)
        new._gamma = self._gamma.expand(batch_shape)
        return new

    @property
    def concentration(self) -> Tensor:
        """Shape of the gamma distribution."""
        concentration: Tensor = self._gamma.concentration
        return concentration

    @property
    def rate(self) -> Tensor:
        """Rate of the gamma distribution."""
        rate: Tensor = self._gamma.rate
        return rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.gamma_poisson(value, self.concentration, self.rate)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square() * (1 + self.rate)
