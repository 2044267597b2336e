"""A choice between two distributions by a mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution, TorchDistributionMixin
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError

from . import constraints
from .mixture import log_prob_where


class MaskedMixture(TorchDistribution):
    """``component0`` where ``mask`` is false and ``component1`` where it is true.

    The mask may itself be random and correlated over the batch, such as the side of a change
    point; enumeration can then sum it out.

    Args:
        mask: A boolean tensor that broadcasts with the batch shape of both components.
        component0: Where the mask is false.
        component1: Where the mask is true, with the same event shape.
        validate_args: Whether to check values; the global default if ``None``.
    Raises:
        ShapeError: If the components have different event shapes.

    Example:
        >>> from ppl.distributions import Normal
        >>> mask = torch.tensor([True, False])
        >>> MaskedMixture(mask, Normal(0.0, 1.0), Normal(9.0, 1.0)).mean
        tensor([9., 0.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        mask: Tensor,
        component0: Any,
        component1: Any,
        validate_args: bool | None = None,
    ) -> None:
        if component0.event_shape != component1.event_shape:
            raise ShapeError(
                f"MaskedMixture: component0 has event_shape {tuple(component0.event_shape)}, "
                f"component1 {tuple(component1.event_shape)}; they have to be equal"
            )
        batch_shape = torch.Size(
            broadcast_shape(mask.shape, component0.batch_shape, component1.batch_shape)
        )
        self._mask = mask.bool().expand(batch_shape)
        self.component0: TorchDistributionMixin = component0.expand(batch_shape)
        self.component1: TorchDistributionMixin = component1.expand(batch_shape)
        super().__init__(batch_shape, component0.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        components = self.component0.expand(batch_shape), self.component1.expand(batch_shape)
        return MaskedMixture(self._mask.expand(batch_shape), *components, self._validate_args)

    @property
    def has_rsample(self) -> bool:
        return bool(self.component0.has_rsample and self.component1.has_rsample)

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.component0.has_rsample = self.component1.has_rsample = value

    @constraints.dependent_property
    def support(self) -> Any:
        first, second = self.component0.support, self.component1.support
        return first if _is_same(first, second) else constraints.choice(self._mask, first, second)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._choose(
            self.component0.sample(sample_shape), self.component1.sample(sample_shape)
        )

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._choose(
            self.component0.rsample(sample_shape), self.component1.rsample(sample_shape)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        first = log_prob_where(self.component0, value, ~self._mask)
        return torch.where(self._mask, log_prob_where(self.component1, value, self._mask), first)

    @property
    def mean(self) -> Tensor:
        return self._choose(self.component0.mean, self.component1.mean)

    @property
    def variance(self) -> Tensor:
        return self._choose(self.component0.variance, self.component1.variance)

    def _choose(self, first: Tensor, second: Tensor) -> Tensor:
        """Return events of the second where the mask is true, of the first elsewhere."""
        mask = self._mask.reshape(self._mask.shape + (1,) * self.event_dim)
        return torch.where(mask, second, first)


def _is_same(first: Any, second: Any) -> bool:
    """Return whether two supports are known to be equal without a look at tensors."""
    if first is second:
        return True
    mine, other = vars(first), vars(second)
    return type(first) is type(second) and all(
        x is other[name] or (not isinstance(x, Tensor) and x == other[name])
        for name, x in mine.items()
    )
