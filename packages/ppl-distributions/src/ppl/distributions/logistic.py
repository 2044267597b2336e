"""The logistic distribution and its skewed generalization."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from ppl.distribution import TorchDistribution

from .expansion import expand_parameters
from .noise import standard_exponential, standard_uniform
from .parameters import broadcast_parameters


class Logistic(TorchDistribution):
    """Logistic, the law whose cdf is ``sigmoid((x - loc) / scale)``.

    Args:
        loc: Mean, median and mode.
        scale: Positive; the deviation is ``pi / sqrt(3)`` times as large.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support: constraints.Constraint = constraints.real

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = broadcast_parameters(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        u = standard_uniform(self._extended_shape(sample_shape), self.loc)
        return self.loc + self.scale * (u.log() - (-u).log1p())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        return logsigmoid(z) + logsigmoid(-z) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.loc) / self.scale).sigmoid()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self.loc + self.scale * value.logit()

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (math.pi**2 / 3)

    def entropy(self) -> Tensor:
        """Return the differential entropy in nats."""
        return self.scale.log() + 2


class SkewLogistic(TorchDistribution):
    """Generalized logistic of type I, whose cdf is a power of the logistic one.

    See Balakrishnan (1992), chapter 9: ``cdf(x) = sigmoid((x - loc) / scale) ** asymmetry``.

    Args:
        loc: Location of the logistic.
        scale: Scale of the logistic, positive.
        asymmetry: The power; above 1 the tail on the right is the longer one, below 1 that on the
            left.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
    }
    support: constraints.Constraint = constraints.real

    loc: Tensor
    scale: Tensor
    asymmetry: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        asymmetry: Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.asymmetry = broadcast_parameters(loc, scale, asymmetry)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._from_log_probability(
            -standard_exponential(self._extended_shape(sample_shape), self.loc)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        log_slope = (self.asymmetry / self.scale).log()
        return log_slope + self.asymmetry * logsigmoid(z) + logsigmoid(-z)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return (self.asymmetry * logsigmoid((value - self.loc) / self.scale)).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self._from_log_probability(value.log())

    def _from_log_probability(self, log_p: Tensor) -> Tensor:
        log_power = log_p / self.asymmetry  # of the logistic cdf
        return self.loc + self.scale * (log_power - (-log_power.expm1()).log())

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * (torch.digamma(self.asymmetry) + _EULER)

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (torch.polygamma(1, self.asymmetry) + math.pi**2 / 6)


_EULER = 0.5772156649015329  # the Euler-Mascheroni constant, minus digamma(1)
