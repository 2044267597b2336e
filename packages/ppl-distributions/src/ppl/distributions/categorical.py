"""Distributions over categories and over counts of categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin

from . import saddle_point


class Categorical(torch.distributions.Categorical, TorchDistributionMixin):
    """Index of one of ``k`` categories with weights ``probs`` or ``logits``, ``(*batch, k)``."""


class OneHotCategorical(torch.distributions.OneHotCategorical, TorchDistributionMixin):
    """Unit vector of one of ``k`` categories with weights ``probs`` or ``logits``."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        # torch's one_hot reads values back to check them, which make_fx cannot follow
        indices: Tensor = self._categorical.sample(torch.Size(sample_shape))
        categories = torch.arange(self.event_shape[0], device=indices.device)
        return (indices.unsqueeze(-1) == categories).to(self.probs.dtype)


class OneHotCategoricalStraightThrough(
    torch.distributions.OneHotCategoricalStraightThrough, OneHotCategorical
):
    """One-hot categorical whose draws pass gradients to ``probs`` unchanged (Bengio et al. 2013).

    The gradient is biased.
    """


class Multinomial(torch.distributions.Multinomial, TorchDistributionMixin):
    """Counts of ``k`` categories among ``total_count`` draws with weights ``probs``."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            draws = self._categorical.sample(torch.Size((self.total_count, *sample_shape)))
            indices = draws.movedim(0, -1)  # (*sample, *batch, total_count)
            zeros: Tensor = self.probs.new_zeros(self._extended_shape(sample_shape))
            return zeros.scatter_add(-1, indices, torch.ones_like(indices, dtype=zeros.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.multinomial(value, self.logits)
