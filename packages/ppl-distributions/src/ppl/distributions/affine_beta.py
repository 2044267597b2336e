"""The beta distribution on any interval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import AffineTransform

from ppl.distribution.util import broadcast_shape

from .parameters import broadcast_parameters
from .transformed import TransformedDistribution
from .unit_interval import Beta


class AffineBeta(TransformedDistribution):
    """Beta stretched to the interval from ``loc`` to ``loc + scale``.

    Draws never touch the ends of the interval, where the density may be infinite.

    Args:
        concentration1: Weight of the upper end, positive.
        concentration0: Weight of the lower end, positive.
        loc: Lower end.
        scale: Length, positive.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> AffineBeta(2.0, 2.0, loc=-1.0, scale=2.0).mean
        tensor(0.)
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        loc: Tensor | float,
        scale: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        heads, tails, loc, scale = broadcast_parameters(concentration1, concentration0, loc, scale)
        base = Beta(heads, tails, validate_args=validate_args)
        super().__init__(base, AffineTransform(loc, scale), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        return torch.Size(broadcast_shape(*arg_shapes.values())), torch.Size()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(AffineBeta, _instance)
        return super().expand(batch_shape, new)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        low, high = self.low.detach(), self.high.detach()
        x: Tensor = super().rsample(sample_shape)
        return torch.clamp(x, torch.nextafter(low, high), torch.nextafter(high, low))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        unit = (value - self.loc) / self.scale
        inside = (unit >= 0) & (unit <= 1)
        density: Tensor = self.base_dist.log_prob(torch.where(inside, unit, 0.5))
        return torch.where(inside, density - self.scale.log(), -torch.inf)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def concentration1(self) -> Tensor:
        """Weight of the upper end."""
        heads: Tensor = self.base_dist.concentration1
        return heads

    @property
    def concentration0(self) -> Tensor:
        """Weight of the lower end."""
        tails: Tensor = self.base_dist.concentration0
        return tails

    @property
    def sample_size(self) -> Tensor:
        """Sum of both concentrations: how many observations the distribution is worth."""
        return self.concentration1 + self.concentration0

    @property
    def loc(self) -> Tensor:
        """Lower end of the interval."""
        affine: Any = self.transforms[0]
        loc: Tensor = affine.loc.expand(self.batch_shape)
        return loc

    @property
    def scale(self) -> Tensor:
        """Length of the interval."""
        affine: Any = self.transforms[0]
        scale: Tensor = affine.scale.expand(self.batch_shape)
        return scale

    @property
    def low(self) -> Tensor:
        """Lower end of the interval."""
        return self.loc

    @property
    def high(self) -> Tensor:
        """Upper end of the interval."""
        return self.loc + self.scale

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.base_dist.mean
        return self.loc + self.scale * mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.base_dist.variance
        return self.scale.square() * variance
