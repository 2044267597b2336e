"""Skewed versions of symmetric distributions over angles."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution, TorchDistributionMixin
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError

from . import constraints
from .expansion import expand_parameters
from .noise import standard_uniform


class SineSkewed(TorchDistribution):
    """A symmetric law of angles, times ``1 + sum(skewness * sin(x - mean))``.

    The factor leaves the normalizer as it is, and gives the angles a preference for one side of
    their mean (Abe and Pewsey 2011; Ameijeiras-Alonso and Ley 2022 for several angles).

    Args:
        base_dist: Over vectors of ``n`` angles, symmetric about its ``mean``, such as
            ``VonMises(loc, concentration).to_event(1)`` or ``SineBivariateVonMises``.
        skewness: Shape ``(*batch, n)``, with absolute values that sum to at most 1.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``base_dist`` is not over vectors as long as ``skewness``.
        ValueError: While validation is on, if the skewness sums to more than 1.

    Example:
        >>> base = torch.distributions.Uniform(-torch.full((1,), math.pi), math.pi)
        >>> d = SineSkewed(torch.distributions.Independent(base, 1), torch.tensor([0.5]))
        >>> 2 * math.pi * d.log_prob(torch.tensor([math.pi / 2])).exp()
        tensor(1.5000)
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "skewness": constraints.independent(constraints.interval(-1.0, 1.0), 1),
    }

    def __init__(self, base_dist: Any, skewness: Tensor, validate_args: bool | None = None) -> None:
        if skewness.dim() < 1 or tuple(base_dist.event_shape) != skewness.shape[-1:]:
            raise ShapeError(
                "SineSkewed: expected skewness (*batch, n) and a base_dist of event_shape (n,), "
                f"got {tuple(skewness.shape)} and {tuple(base_dist.event_shape)}; a law of single "
                "angles needs to_event(1)"
            )
        shape = torch.Size(broadcast_shape(base_dist.batch_shape, skewness.shape[:-1]))
        self.base_dist: TorchDistributionMixin = base_dist.expand(shape)
        self.skewness: Tensor = skewness.expand(shape + skewness.shape[-1:])
        super().__init__(shape, skewness.shape[-1:], validate_args=validate_args)
        if self._validate_args and (skewness.abs().sum(-1) > 1 + 1e-6).any():
            raise ValueError(
                "SineSkewed: expected absolute values of skewness that sum to at most 1, got "
                f"{skewness}"
            )

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        return self.base_dist.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw of the base, mirrored at the mean where the other side is wanted."""
        with torch.no_grad():
            x: Tensor = self.base_dist.sample(sample_shape)
            loc = self._loc()
            tilt = (self.skewness * (x - loc).sin()).sum(-1)
            keep = 2 * standard_uniform(tilt.shape, tilt) < 1 + tilt
            mirrored = torch.remainder(2 * loc - x + math.pi, 2 * math.pi) - math.pi
            return torch.where(keep.unsqueeze(-1), x, mirrored)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        tilt = (self.skewness * (value - self._loc()).sin()).sum(-1)
        density: Tensor = self.base_dist.log_prob(value)
        return density + tilt.log1p()

    def _loc(self) -> Tensor:
        loc: Tensor = self.base_dist.mean
        return loc
