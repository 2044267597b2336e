"""Distributions over the real line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin

from .noise import standard_cauchy, standard_exponential, standard_gamma, standard_normal
from .transformed import TransformedDistribution


class Cauchy(torch.distributions.Cauchy, TorchDistributionMixin):
    """Cauchy with median ``loc`` and half width at half maximum ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_cauchy(self._extended_shape(sample_shape), self.loc)
        return self.loc + noise * self.scale


class Gumbel(torch.distributions.Gumbel, TransformedDistribution):
    """Gumbel with mode ``loc`` and ``scale > 0``, on the reals."""


class Laplace(torch.distributions.Laplace, TorchDistributionMixin):
    """Laplace with mean ``loc`` and mean absolute deviation ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = standard_exponential(shape, self.loc) - standard_exponential(shape, self.loc)
        return self.loc + noise * self.scale


class Normal(torch.distributions.Normal, TorchDistributionMixin):
    """Normal with mean ``loc`` and standard deviation ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + noise * self.scale


class StudentT(torch.distributions.StudentT, TorchDistributionMixin):
    """Student's t with ``df > 0`` degrees of freedom, ``loc`` and ``scale > 0``, on the reals."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        half_chi2 = standard_gamma((self.df / 2).expand(shape))
        ratio = (self.df / 2 / half_chi2).sqrt()
        return self.loc + self.scale * standard_normal(shape, self.loc) * ratio
