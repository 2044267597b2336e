"""Images of distributions under invertible transforms, and the base of families defined so."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin, wrap
from ppl.distribution.ends import ends_of, point_between
from ppl.distribution.util import sum_rightmost


class TransformedDistribution(
    torch.distributions.TransformedDistribution,
    TorchDistributionMixin,
):
    """The image of ``base_distribution`` under ``transforms``, applied in order.

    Families that torch defines as an image take this as their second base, so that the base
    distribution which torch builds for them becomes one of ours.
    """

    def __init__(
        self,
        base_distribution: Any,
        transforms: Any,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(base_distribution, transforms, validate_args=validate_args)
        self.base_dist: Any = wrap(self.base_dist)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(TransformedDistribution, _instance)
        return super().expand(batch_shape, new)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            draw: Tensor = super().sample(sample_shape)
            return self._inside(draw)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        draw: Tensor = super().rsample(sample_shape)
        return self._inside(draw)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        event_dim = self.event_dim
        log_jacobian: Tensor | float = 0.0
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            if value.numel():  # torch cannot sum over the dimensions of no elements
                stretch = transform.log_abs_det_jacobian(before, value)
                log_jacobian += sum_rightmost(stretch, event_dim - transform.domain.event_dim)
            value = before
        density: Tensor = self.base_dist.log_prob(value)
        return sum_rightmost(density, event_dim - len(self.base_dist.event_shape)) - log_jacobian

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``: 0 or 1 beyond what is reached."""
        sign = math.prod(transform.sign for transform in self.transforms)
        ends = ends_of(self.base_dist.support, value)
        for transform in self.transforms:
            ends = transform(ends[0]), transform(ends[1])
        low, high = torch.minimum(*ends), torch.maximum(*ends)
        below, above = value < low, value >= high
        x = torch.where(below | above, point_between(low, high), value)
        for transform in reversed(self.transforms):
            x = transform.inv(x)
        base = copy.copy(self.base_dist)
        base._validate_args = False  # where the image ends, so may the base: at an open end
        level: Tensor = base.cdf(x)
        level = torch.where(torch.as_tensor(sign) > 0, level, 1 - level)
        return torch.where(above, 1.0, torch.where(below, 0.0, level))

    def _inside(self, draw: Tensor) -> Tensor:
        """Return a draw that was rounded to an end of the support as a value inside."""
        return draw

    @property
    def has_rsample(self) -> bool:
        return bool(self.base_dist.has_rsample)

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.base_dist.has_rsample = value
