"""Distributions over the positive numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import Distribution, TorchDistributionMixin
from ppl.ops.powers import log_power

from . import saddle_point
from .closed_forms import entropy_in_double
from .conjugacy import multiply_gammas
from .noise import keep_positive, standard_exponential, standard_gamma
from .transformed import TransformedDistribution


class Chi2(torch.distributions.Chi2, TorchDistributionMixin):
    """Chi-squared with ``df > 0`` degrees of freedom, on the positive numbers."""

    entropy = entropy_in_double(torch.distributions.Gamma)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return keep_positive(standard_gamma(self.concentration.expand(shape)) / self.rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.gamma(value, self.concentration, self.rate)


class Exponential(torch.distributions.Exponential, TorchDistributionMixin):
    """Exponential with ``rate > 0`` (mean ``1 / rate``), on the nonnegative numbers."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return standard_exponential(self._extended_shape(sample_shape), self.rate) / self.rate

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return -(-self.rate * value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return -(-value).log1p() / self.rate


class FisherSnedecor(torch.distributions.FisherSnedecor, TorchDistributionMixin):
    """F distribution with ``df1 > 0`` and ``df2 > 0`` degrees of freedom, on x >= 0."""

    support: constraints.Constraint = constraints.nonnegative  # type: ignore[assignment]

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        upper = standard_gamma((self.df1 / 2).expand(shape)) / self.df1
        return keep_positive(upper * self.df2 / standard_gamma((self.df2 / 2).expand(shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.fisher_snedecor(value, self.df1, self.df2)


class Gamma(torch.distributions.Gamma, TorchDistributionMixin):
    """Gamma with shape ``concentration > 0`` and ``rate > 0``, on the positive numbers."""

    entropy = entropy_in_double(torch.distributions.Gamma)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return keep_positive(standard_gamma(self.concentration.expand(shape)) / self.rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.gamma(value, self.concentration, self.rate)

    def conjugate_update(self, other: Distribution) -> tuple[Gamma, Tensor]:
        """Return the normalized product with another gamma density, and its log normalizer."""
        if not isinstance(other, Gamma):
            return super().conjugate_update(other)
        concentration, rate, log_normalizer = multiply_gammas(
            (self.concentration, self.rate), (other.concentration, other.rate)
        )
        return Gamma(concentration, rate), log_normalizer


class HalfCauchy(torch.distributions.HalfCauchy, TransformedDistribution):
    """Absolute value of a Cauchy centred at 0 with ``scale > 0``, on the nonnegative numbers."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        density: Tensor = math.log(2) + self.base_dist.log_prob(value)
        return torch.where(value >= 0, density, -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.atan2(value, self.scale) * (2 / math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        low = value < 0.5  # a tangent has its digits near 0, and so has its inverse
        angle = math.pi / 2 * torch.where(low, value, 1 - value)
        return self.scale * torch.where(low, angle.tan(), 1 / angle.tan())


class HalfNormal(torch.distributions.HalfNormal, TransformedDistribution):
    """Absolute value of a normal centred at 0 with ``scale > 0``, on the nonnegative numbers."""

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return (value / (self.scale * math.sqrt(2))).erf()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self.scale * math.sqrt(2) * value.erfinv()


class InverseGamma(torch.distributions.InverseGamma, TransformedDistribution):
    """Reciprocal of a gamma with ``concentration > 0`` and ``rate > 0``, on positive numbers."""

    entropy = entropy_in_double(torch.distributions.InverseGamma)

    def _inside(self, draw: Tensor) -> Tensor:
        return keep_positive(draw)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.inverse_gamma(value, self.concentration, self.rate)


class LogNormal(torch.distributions.LogNormal, TransformedDistribution):
    """Exponential of a normal with mean ``loc`` and deviation ``scale``, on positive numbers."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        positive = value > 0  # else the densities of log and slope compete at 0
        log_value = torch.where(positive, value, 1.0).log()
        density = self.base_dist.log_prob(log_value) - log_value
        return torch.where(positive, density, -torch.inf)

    def _inside(self, draw: Tensor) -> Tensor:
        return keep_positive(draw)


class Weibull(torch.distributions.Weibull, TransformedDistribution):
    """Weibull with ``scale > 0`` and shape ``concentration > 0``, on the nonnegative numbers."""

    support = constraints.nonnegative  # type: ignore[assignment]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # as one formula: torch's three transforms take four times as long
        ratio = value / self.scale
        power = log_power(self.concentration - 1, ratio)
        # where the slope of a power is infinite, it would turn that of a scale into nan
        flat = torch.where((ratio == 0) & (self.concentration < 1), 0.0, ratio)
        return (self.concentration / self.scale).log() + power - flat**self.concentration

    def _inside(self, draw: Tensor) -> Tensor:
        return keep_positive(draw)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return -(-((value / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self.scale * (-(-value).log1p()) ** (1 / self.concentration)
