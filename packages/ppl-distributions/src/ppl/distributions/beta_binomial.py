"""Counts of successes whose probability is a beta variable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from . import saddle_point
from .expansion import expand_parameters
from .parameters import broadcast_parameters
from .trials import enumerate_counts
from .unit_interval import Beta


class BetaBinomial(TorchDistribution):
    """Binomial whose success probability is drawn from a beta distribution.

    Args:
        concentration1: First concentration of the beta distribution (successes), positive.
        concentration0: Second concentration (failures), positive.
        total_count: Number of trials, a nonnegative integer.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> BetaBinomial(2.0, 3.0, total_count=4).mean
        tensor(1.6000)
    """

    has_enumerate_support = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }

    total_count: Tensor

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        total_count: Tensor | int = 1,
        validate_args: bool | None = None,
    ) -> None:
        heads, tails, self.total_count = broadcast_parameters(
            concentration1, concentration0, total_count
        )
        self._beta = Beta(heads, tails, validate_args=False)
        super().__init__(self.total_count.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = expand_parameters(self, batch_shape, _instance)
        new._beta = self._beta.expand(batch_shape)
        return new

    @property
    def concentration1(self) -> Tensor:
        """First concentration of the beta distribution."""
        heads: Tensor = self._beta.concentration1
        return heads

    @property
    def concentration0(self) -> Tensor:
        """Second concentration of the beta distribution."""
        tails: Tensor = self._beta.concentration0
        return tails

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            probs = self._beta.sample(sample_shape)
            return torch.binomial(self.total_count + torch.zeros_like(probs), probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.beta_binomial(
            value, self.concentration1, self.concentration0, self.total_count
        )

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        size = self.concentration1 + self.concentration0
        binomial = self.mean * self.concentration0 / size
        return binomial * (size + self.total_count) / (size + 1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0, 1, ..., ``total_count``: the totals of a batch must be equal."""
        return enumerate_counts(self, expand)
