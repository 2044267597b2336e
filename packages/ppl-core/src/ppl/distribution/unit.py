"""A distribution without values, for factors of a density."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .mixin import TorchDistribution
from .util import broadcast_shape


class Unit(TorchDistribution):
    """The trivial distribution over empty vectors, with an unnormalized log density.

    Args:
        log_factor: Log density (nats), shape ``batch``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        has_rsample: Whether ``log_factor`` depends on latent values only through reparameterized
            samples; says how a gradient estimator must treat a factor of a guide.

    Example:
        >>> d = Unit(torch.tensor(-2.0))
        >>> d.sample().numel(), d.log_prob(d.sample()).item()
        (0, -2.0)
    """

    is_factor: bool = True
    arg_constraints: dict[str, constraints.Constraint] = {"log_factor": constraints.real}
    support: constraints.Constraint = constraints.real_vector

    def __init__(
        self,
        log_factor: Tensor | float,
        validate_args: bool | None = None,
        *,
        has_rsample: bool | None = None,
    ) -> None:
        self.log_factor: Tensor = torch.as_tensor(log_factor)
        if has_rsample is not None:
            self.has_rsample = has_rsample
        super().__init__(self.log_factor.shape, torch.Size((0,)), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Unit:
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new.log_factor = self.log_factor.expand(batch_shape)
        new._batch_shape = torch.Size(batch_shape)
        return new

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.log_factor.new_empty(self.shape(sample_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_factor.expand(broadcast_shape(value.shape[:-1], self.batch_shape))
