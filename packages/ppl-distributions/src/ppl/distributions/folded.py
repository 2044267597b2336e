"""Absolute values of random variables."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import AbsTransform

from .transformed import TransformedDistribution


class FoldedDistribution(TransformedDistribution):
    """Absolute value of a univariate variable with law ``base_dist``.

    Unlike the image under ``AbsTransform`` it has a density: that of both preimages.

    Args:
        base_dist: A distribution over the reals.
        validate_args: Whether to check values; the global default if ``None``.
    """

    support = constraints.nonnegative

    def __init__(self, base_dist: Any, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(FoldedDistribution, _instance)
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return torch.logaddexp(self.base_dist.log_prob(value), self.base_dist.log_prob(-value))
