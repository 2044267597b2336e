"""Distributions over the probability simplex."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import Distribution, TorchDistributionMixin

from . import saddle_point
from .conjugacy import multiply_dirichlets
from .noise import sample_dirichlet
from .transformed import TransformedDistribution


class Dirichlet(torch.distributions.Dirichlet, TorchDistributionMixin):
    """Dirichlet with ``concentration > 0``, shape ``(*batch, k)``, on the simplex."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.dirichlet(value, self.concentration)

    def conjugate_update(self, other: Distribution) -> tuple[Dirichlet, Tensor]:
        """Return the normalized product with another Dirichlet density, and its log normalizer."""
        if not isinstance(other, Dirichlet):
            return super().conjugate_update(other)
        concentration, log_normalizer = multiply_dirichlets(self.concentration, other.concentration)
        return Dirichlet(concentration), log_normalizer


class LogisticNormal(torch.distributions.LogisticNormal, TransformedDistribution):
    """Stick-breaking image of ``k - 1`` normals with ``loc`` and ``scale > 0``, on the simplex."""


class RelaxedOneHotCategorical(
    torch.distributions.RelaxedOneHotCategorical, TransformedDistribution
):
    """Concrete relaxation of a categorical at a ``temperature``, on the simplex (Maddison 2017)."""
