"""Distributions over the probability simplex."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import Distribution, TorchDistributionMixin
from ppl.ops.powers import log_power

from .categorical import Categorical
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
        concentration = self.concentration
        log_normalizer = concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()
        return log_power(concentration - 1, value).sum(-1) - log_normalizer

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

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(temperature, probs, logits, validate_args)
        self.base_dist._categorical = Categorical(probs, logits)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(RelaxedOneHotCategorical, _instance)
        return super().expand(batch_shape, new)
