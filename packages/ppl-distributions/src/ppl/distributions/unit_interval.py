"""Distributions over an interval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import Distribution, TorchDistributionMixin

from . import saddle_point
from .conjugacy import multiply_dirichlets
from .noise import keep_inside_unit, sample_dirichlet, standard_exponential
from .transformed import TransformedDistribution


class Beta(torch.distributions.Beta, TorchDistributionMixin):
    """Beta with ``concentration1 > 0`` (heads), ``concentration0 > 0`` (tails), on (0, 1)."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        concentration = self._dirichlet.concentration
        shape = self._extended_shape(sample_shape) + concentration.shape[-1:]
        return keep_inside_unit(sample_dirichlet(concentration.expand(shape))[..., 0])

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.beta(value, self.concentration1, self.concentration0)

    def conjugate_update(self, other: Distribution) -> tuple[Beta, Tensor]:
        """Return the normalized product with another beta density, and its log normalizer."""
        if not isinstance(other, Beta):
            return super().conjugate_update(other)
        pair, log_normalizer = multiply_dirichlets(
            self._dirichlet.concentration, other._dirichlet.concentration
        )
        return Beta(pair[..., 0], pair[..., 1]), log_normalizer


class ContinuousBernoulli(torch.distributions.ContinuousBernoulli, TorchDistributionMixin):
    """Density proportional to ``probs ** x * (1 - probs) ** (1 - x)`` on [0, 1].

    See Loaiza-Ganem and Cunningham (2019). Near ``probs = 0.5``, inside ``lims``, a Taylor series
    replaces the normalizer.
    """

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        if validate_args is False:  # torch would take any answer but None for a wish to check
            self._validate_args = False
            validate_args = None
        super().__init__(probs, logits, lims, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(ContinuousBernoulli, _instance)
        return super().expand(batch_shape, new)


class Kumaraswamy(torch.distributions.Kumaraswamy, TransformedDistribution):
    """Kumaraswamy with ``concentration1 > 0`` and ``concentration0 > 0``, on (0, 1)."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        log_survival = -standard_exponential(shape, self.concentration1)
        return keep_inside_unit(self._quantile(log_survival))

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return -(self.concentration0 * (-(value**self.concentration1)).log1p()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self._quantile((-value).log1p())

    def _quantile(self, log_survival: Tensor) -> Tensor:
        power = -(log_survival / self.concentration0).expm1()
        return power ** (1 / self.concentration1)


class RelaxedBernoulli(torch.distributions.RelaxedBernoulli, TransformedDistribution):
    """Concrete relaxation of a Bernoulli at a ``temperature``, on (0, 1) (Maddison et al. 2017)."""


class Uniform(torch.distributions.Uniform, TorchDistributionMixin):
    """Uniform on ``low <= x < high``; the density outside is 0 even without validation."""

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        return torch.Size(torch.broadcast_shapes(*arg_shapes.values())), torch.Size()
