"""Distributions over the real line."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.ops.small import plain_if_small

from . import saddle_point, textbook
from .closed_forms import entropy_in_double
from .noise import standard_cauchy, standard_exponential, standard_gamma, standard_normal
from .parameters import broadcast_parameters
from .transformed import TransformedDistribution

_LOG_SQRT_2_PI = math.log(2 * math.pi) / 2


class Cauchy(torch.distributions.Cauchy, TorchDistributionMixin):
    """Cauchy with median ``loc`` and half width at half maximum ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_cauchy(self._extended_shape(sample_shape), self.loc)
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return _cauchy(value, self.loc, self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.atan2(self.scale, self.loc - value) / math.pi

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        nearest = torch.minimum(value, 1 - value)
        tail = torch.where(value < 0.5, -1.0, 1.0).to(value.dtype) / (math.pi * nearest).tan()
        middle = (math.pi * (value.clamp(0.25, 0.75) - 0.5)).tan()
        return self.loc + self.scale * torch.where(nearest < 0.25, tail, middle)


@plain_if_small(textbook.cauchy)
def _cauchy(value: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    # the square of a standardized value would overflow from 1e19 on in single precision
    return scale.log() - math.log(math.pi) - 2 * torch.hypot(value - loc, scale).log()


class Gumbel(torch.distributions.Gumbel, TransformedDistribution):
    """Gumbel with mode ``loc`` and ``scale > 0``, on the reals."""

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self.loc - self.scale * (-value.log()).log()


class Laplace(torch.distributions.Laplace, TorchDistributionMixin):
    """Laplace with mean ``loc`` and mean absolute deviation ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = standard_exponential(shape, self.loc) - standard_exponential(shape, self.loc)
        return self.loc + noise * self.scale

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        tail = torch.where(z < 0, z, -z).exp() / 2
        return torch.where(z < 0, tail, 1 - tail)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        tail = (2 * torch.minimum(value, 1 - value)).log()
        return self.loc + self.scale * torch.where(value < 0.5, tail, -tail)


class Normal(torch.distributions.Normal, TorchDistributionMixin):
    """Normal with mean ``loc`` and standard deviation ``scale > 0``, on the reals."""

    _log_scale: float | None = None  # known before any tensor operation

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = broadcast_parameters(loc, scale)
        if isinstance(scale, float | int) and scale > 0:
            self._log_scale = math.log(scale)
        super(torch.distributions.Normal, self).__init__(
            self.loc.shape, validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, self._get_checked_instance(Normal, _instance))
        new._log_scale = self._log_scale
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return torch.addcmul(self.loc, noise, self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # few operations, all between tensors: one with a number would cost as much as two
        z = (value - self.loc) / self.scale
        return torch.addcmul(self._log_density_at_mean(), z, z, value=-0.5)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``, with all digits if it is tiny."""
        if self._validate_args:
            self._validate_sample(value)
        return ((self.loc - value) / (self.scale * math.sqrt(2))).erfc() / 2

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        quantile: Tensor = torch.special.ndtri(value)
        return self.loc + self.scale * quantile

    def _log_density_at_mean(self) -> Tensor:
        if self._log_scale is not None:
            return self.scale.new_full((), -_LOG_SQRT_2_PI - self._log_scale)
        return self.scale.new_full((), -_LOG_SQRT_2_PI) - self.scale.log()


class StudentT(torch.distributions.StudentT, TorchDistributionMixin):
    """Student's t with ``df > 0`` degrees of freedom, ``loc`` and ``scale > 0``, on the reals."""

    entropy = entropy_in_double(torch.distributions.StudentT)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        half_chi2 = standard_gamma((self.df / 2).expand(shape))
        ratio = (self.df / 2 / half_chi2).sqrt()
        return self.loc + self.scale * standard_normal(shape, self.loc) * ratio

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.student_t(value, self.df, self.loc, self.scale)
