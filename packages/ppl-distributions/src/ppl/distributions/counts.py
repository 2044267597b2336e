"""Distributions over counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import broadcast_all

from ppl.distribution import TorchDistributionMixin

from .noise import standard_gamma, standard_uniform


class Bernoulli(torch.distributions.Bernoulli, TorchDistributionMixin):
    """Bernoulli with success probability ``probs`` or log odds ``logits``, on {0, 1}."""


class Binomial(torch.distributions.Binomial, TorchDistributionMixin):
    """Successes among ``total_count`` trials of probability ``probs`` (or ``logits``)."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        # vmap follows only if both arguments are batched, which a constant count is not
        with torch.no_grad():
            probs = self.probs.expand(self._extended_shape(sample_shape))
            return torch.binomial(self.total_count + torch.zeros_like(probs), probs)


class Geometric(torch.distributions.Geometric, TorchDistributionMixin):
    """Failures before the first success of probability ``probs`` (or ``logits``), on 0, 1, ..."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            u = standard_uniform(self._extended_shape(sample_shape), self.probs)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        # torch assigns at a boolean index, which vmap and make_fx cannot follow
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        certain = (probs == 1) & (value == 0)  # where 0 * log(0) means 0
        failure = torch.where(certain, 0.0, probs)
        return value * (-failure).log1p() + probs.log()


class NegativeBinomial(torch.distributions.NegativeBinomial, TorchDistributionMixin):
    """Successes of probability ``probs`` (or ``logits``) before ``total_count`` failures."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return draws of a Poisson whose mean is a gamma variable."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            return torch.poisson(standard_gamma(self.total_count.expand(shape)) * self.logits.exp())


class Poisson(torch.distributions.Poisson, TorchDistributionMixin):
    """Poisson with mean ``rate >= 0``, on 0, 1, ..."""
