"""Independent univariate series as one multivariate series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution
from ppl.errors import ShapeError

from .. import constraints


class IndependentHMM(TorchDistribution):
    """A batch of univariate series as one series of vectors.

    The rightmost batch dimension of ``base_dist`` becomes the dimension of observations::

        base_dist.batch_shape == batch_shape + (obs,)    base_dist.event_shape == (time, 1)
                 .batch_shape == batch_shape                      .event_shape == (time, obs)

    Args:
        base_dist: A :class:`HiddenMarkovModel` of scalar observations.
    Raises:
        ShapeError: If ``base_dist`` has no batch dimension, or other observations.

    Example:
        >>> from ppl.distributions import GaussianHMM, Normal
        >>> noise = Normal(torch.zeros(1), 1.0).to_event(1)
        >>> one = torch.ones(1, 1)
        >>> IndependentHMM(GaussianHMM(noise, one, noise, one, noise).expand((3,))).event_shape
        torch.Size([1, 3])
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(self, base_dist: Any) -> None:
        if not base_dist.batch_shape or tuple(base_dist.event_shape[1:]) != (1,):
            raise ShapeError(
                "IndependentHMM: expected a base_dist of batch_shape (*batch, obs) and event_shape "
                f"(time, 1), got {tuple(base_dist.batch_shape)} and {tuple(base_dist.event_shape)}"
            )
        self.base_dist = base_dist
        event_shape = base_dist.event_shape[:1] + base_dist.batch_shape[-1:]
        super().__init__(base_dist.batch_shape[:-1], event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:
        return bool(self.base_dist.has_rsample)

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.base_dist.has_rsample = value

    @constraints.dependent_property(event_dim=2)
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def duration(self) -> int | None:
        """Number of time steps, ``None`` if any will do."""
        duration: int | None = self.base_dist.duration
        return duration

    def expand(self, batch_shape: Any, _instance: Any = None) -> IndependentHMM:
        return type(self)(self.base_dist.expand(torch.Size(batch_shape) + self.event_shape[-1:]))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        x: Tensor = self.base_dist.sample(sample_shape)
        return x.squeeze(-1).mT

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        x: Tensor = self.base_dist.rsample(sample_shape)
        return x.squeeze(-1).mT

    def log_prob(self, value: Tensor) -> Tensor:
        series: Tensor = self.base_dist.log_prob(value.mT.unsqueeze(-1))
        return series.sum(-1)
