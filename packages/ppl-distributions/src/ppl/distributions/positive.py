"""Distributions over the positive numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import Distribution, TorchDistributionMixin
from ppl.ops.powers import log_power
from ppl.ops.special import log_beta

from .conjugacy import multiply_gammas
from .noise import standard_exponential, standard_gamma
from .transformed import TransformedDistribution


class Chi2(torch.distributions.Chi2, TorchDistributionMixin):
    """Chi-squared with ``df > 0`` degrees of freedom, on the positive numbers."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return standard_gamma(self.concentration.expand(shape)) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return gamma_log_prob(self, value)


class Exponential(torch.distributions.Exponential, TorchDistributionMixin):
    """Exponential with ``rate > 0`` (mean ``1 / rate``), on the nonnegative numbers."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return standard_exponential(self._extended_shape(sample_shape), self.rate) / self.rate


class FisherSnedecor(torch.distributions.FisherSnedecor, TorchDistributionMixin):
    """F distribution with ``df1 > 0`` and ``df2 > 0`` degrees of freedom, on x >= 0."""

    support = constraints.nonnegative  # type: ignore[assignment]

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        upper = standard_gamma((self.df1 / 2).expand(shape)) / self.df1
        return upper * self.df2 / standard_gamma((self.df2 / 2).expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        tail = a * ratio.log() - (a + b) * (ratio * value).log1p()
        return log_power(a - 1, value) + tail - log_beta(a, b)


class Gamma(torch.distributions.Gamma, TorchDistributionMixin):
    """Gamma with shape ``concentration > 0`` and ``rate > 0``, on the positive numbers."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return standard_gamma(self.concentration.expand(shape)) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return gamma_log_prob(self, value)

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


class HalfNormal(torch.distributions.HalfNormal, TransformedDistribution):
    """Absolute value of a normal centred at 0 with ``scale > 0``, on the nonnegative numbers."""


class InverseGamma(torch.distributions.InverseGamma, TransformedDistribution):
    """Reciprocal of a gamma with ``concentration > 0`` and ``rate > 0``, on positive numbers."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        positive = value > 0
        value = torch.where(positive, value, 1.0)
        # torch's Jacobian squares the value, which overflows from 1e19 on in single precision
        normalizer = self.concentration * self.rate.log() - self.concentration.lgamma()
        density = normalizer - (self.concentration + 1) * value.log() - self.rate / value
        return torch.where(positive, density, -torch.inf)


class LogNormal(torch.distributions.LogNormal, TransformedDistribution):
    """Exponential of a normal with mean ``loc`` and deviation ``scale``, on positive numbers."""


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


def gamma_log_prob(dist: Any, value: Tensor) -> Tensor:
    """Return the log density of a gamma distribution, and its limit at 0."""
    if dist._validate_args:
        dist._validate_sample(value)
    concentration: Tensor = dist.concentration
    rate: Tensor = dist.rate
    power = log_power(concentration - 1, value)
    return concentration * rate.log() + power - rate * value - concentration.lgamma()
