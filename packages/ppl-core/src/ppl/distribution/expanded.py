"""Expansion of any distribution to a larger batch shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .interface import Distribution
from .mixin import TorchDistribution, TorchDistributionMixin
from .score_parts import ScoreParts
from .shapes import expanded_shape as expanded_shape
from .shapes import shape_of_samples
from .util import broadcast_shape


class ExpandedDistribution(TorchDistribution):
    """A distribution whose batch dimensions are stretched or added, with independent draws.

    Args:
        base_dist: The distribution to expand.
        batch_shape: The new shape; as in ``torch.Tensor.expand``, -1 keeps a dimension.
    Raises:
        ShapeError: If the batch shape of ``base_dist`` does not expand to ``batch_shape``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, base_dist: TorchDistributionMixin, batch_shape: Any = torch.Size()) -> None:
        self.base_dist = base_dist
        shape = expanded_shape(base_dist, batch_shape)
        super().__init__(shape, base_dist.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> ExpandedDistribution:
        return ExpandedDistribution(self.base_dist, expanded_shape(self, batch_shape))

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.base_dist.has_rsample = value

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        return self.base_dist.support

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._draw(self.base_dist.sample, shape_of_samples(self, sample_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._draw(self.base_dist.rsample, shape_of_samples(self, sample_shape))

    def _draw(self, sampler: Any, sample_shape: torch.Size) -> Tensor:
        """Draw the stretched dimensions as sample dimensions and swap them into their places."""
        base_shape = self.base_dist.batch_shape
        new_dims = len(self.batch_shape) - len(base_shape)
        stretched = [
            dim for dim, size in enumerate(base_shape) if size != self.batch_shape[new_dims + dim]
        ]
        sizes = [self.batch_shape[new_dims + dim] for dim in stretched]
        outer = sample_shape + self.batch_shape[:new_dims]
        x: Tensor = sampler(outer + torch.Size(sizes))
        for i, dim in enumerate(stretched):
            x = x.transpose(len(outer) + i, len(outer) + len(sizes) + dim)
        return x.reshape(self.shape(sample_shape))  # drops the sizes of 1 that were swapped out

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base_dist.log_prob(value).expand(self._score_shape(value))

    def score_parts(self, value: Tensor) -> ScoreParts:
        shape = self._score_shape(value)
        parts = self.base_dist.score_parts(value)
        score, entropy = (p.expand(shape) if isinstance(p, Tensor) else p for p in parts[1:])
        return ScoreParts(parts.log_prob.expand(shape), score, entropy)

    def _score_shape(self, value: Tensor) -> tuple[int, ...]:
        value_shape = value.shape[: value.dim() - self.event_dim]
        return broadcast_shape(value_shape, self.batch_shape)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = self.base_dist.enumerate_support(expand=False)
        ones = (1,) * len(self.batch_shape)
        values = values.reshape(values.shape[:1] + ones + self.event_shape)
        return values.expand(values.shape[:1] + self.shape()) if expand else values

    def conjugate_update(self, other: Distribution) -> tuple[Any, Tensor]:
        product, log_normalizer = self.base_dist.conjugate_update(other)
        shape = broadcast_shape(self.batch_shape, log_normalizer.shape)
        return product.expand(torch.Size(shape)), log_normalizer.expand(shape)

    def entropy(self) -> Tensor:
        """Return the entropy, shape ``batch_shape``."""
        return self.base_dist.entropy().expand(self.batch_shape)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean.expand(self.shape())

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance.expand(self.shape())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {tuple(self.batch_shape)})"
