"""Normal vectors whose entries sum to zero."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution

from . import constraints
from .expansion import expand_parameters
from .noise import standard_normal


class ZeroSumNormal(TorchDistribution):
    """Independent normals, given that they sum to zero: effects relative to their mean.

    The density is with respect to lengths on the hyperplane of these vectors, whose dimension is
    ``size - 1``; the covariance is ``scale ** 2 * (I - 1 / size)``.

    Args:
        scale: Deviation in each direction of the hyperplane, positive, shape ``batch``.
        size: Number of entries, at least 1.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> ZeroSumNormal(torch.tensor(2.0), size=4).variance
        tensor([3., 3., 3., 3.])
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {"scale": constraints.positive}
    support: constraints.Constraint = constraints.zero_sum

    def __init__(self, scale: Tensor | float, size: int, validate_args: bool | None = None) -> None:
        self.scale: Tensor = torch.as_tensor(scale)
        super().__init__(self.scale.shape, torch.Size([size]), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.scale)
        return self.scale.unsqueeze(-1) * (noise - noise.mean(-1, keepdim=True))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = value / self.scale.unsqueeze(-1)
        log_normalizer = self.scale.log() + math.log(2 * math.pi) / 2
        return -z.square().sum(-1) / 2 - (self.event_shape[0] - 1) * log_normalizer

    @property
    def mean(self) -> Tensor:
        return self.scale.new_zeros(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        variance = self.scale.square() * (1 - 1 / self.event_shape[0])
        return variance.unsqueeze(-1).expand(self._extended_shape())
