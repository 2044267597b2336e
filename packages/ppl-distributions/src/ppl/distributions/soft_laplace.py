"""A smooth relative of the Laplace distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from .expansion import expand_parameters
from .noise import standard_uniform
from .parameters import broadcast_parameters


class SoftLaplace(TorchDistribution):
    """Hyperbolic secant law: tails like Laplace, but smooth at its mode.

    The density is ``2 / (pi scale (exp(z) + exp(-z)))`` with ``z = (x - loc) / scale``.

    Args:
        loc: Mean, median and mode.
        scale: Decay length of the tails, positive.
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
        return self.icdf(standard_uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        return math.log(2 / math.pi) - self.scale.log() - torch.logaddexp(z, -z)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.loc) / self.scale).exp().atan() * (2 / math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        tail = (torch.minimum(value, 1 - value) * (math.pi / 2)).tan().log()
        return self.loc + self.scale * torch.where(value < 0.5, tail, -tail)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (math.pi / 2) ** 2
