"""Univariate distributions observed through a window."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from .bounds import BOUND, Bound, broadcast_bounds, interval, log_mass
from .expansion import expand_parameters
from .tails import log_cdf, log_survival


class Censored(TorchDistribution):
    """A continuous univariate distribution whose values beyond a bound are seen at the bound.

    A value at a bound scores the log mass of the tail beyond it, a value between the bounds scores
    its log density (Tobin 1958). Bounds may differ between observations, and are infinite where an
    observation is not censored: survival times ``t`` with end of follow-up ``c`` are observations
    ``min(t, c)`` of ``Censored(Weibull(...), high=c)``.

    Draws are not reparameterized, as their density jumps at the bounds.

    Args:
        base_dist: Has a ``cdf``.
        low: Values below are seen here (left censoring); none by default.
        high: Values above are seen here (right censoring); none by default.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> from ppl.distributions import Exponential
        >>> Censored(Exponential(0.5), high=4.0).log_prob(torch.tensor([1.0, 4.0]))
        tensor([-1.1931, -2.0000])
    """

    arg_constraints: dict[str, constraints.Constraint] = {"low": BOUND, "high": BOUND}

    low: Tensor | None = None
    high: Tensor | None = None
    base_distribution: Any

    def __init__(
        self,
        base_dist: Any,
        low: Bound = None,
        high: Bound = None,
        validate_args: bool | None = None,
    ) -> None:
        self.base_distribution, bounds = broadcast_bounds(base_dist, low=low, high=high)
        self.__dict__.update(bounds)
        super().__init__(self.base_distribution.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return interval(self.base_distribution.support, self.low, self.high)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        x: Tensor = self.base_distribution.sample(sample_shape)
        if self.low is not None:
            x = torch.maximum(x, self.low)
        return x if self.high is None else torch.minimum(x, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        base = self.base_distribution
        density: Tensor = base.log_prob(value)
        if self.low is not None:
            density = torch.where(
                value > self.low, density, log_mass(log_cdf, base, self.low, -torch.inf)
            )
        if self.high is not None:
            above = log_mass(log_survival, base, self.high, -torch.inf)
            density = torch.where(value < self.high, density, above)
        return density
