"""Distributions over categories and over counts of categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin

from . import saddle_point

MANY = 2**12  # categories, from which on draws are made in double precision


class Categorical(torch.distributions.Categorical, TorchDistributionMixin):
    """Index of one of ``k`` categories with weights ``probs`` or ``logits``, ``(*batch, k)``."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        if self._num_events < MANY:
            draw: Tensor = super().sample(sample_shape)
            return draw
        # torch's sampler refuses more than 2 ** 24 categories and never draws the rare ones
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            below = self.probs.double().cumsum(-1).reshape(-1, self._num_events)
            u = torch.rand(
                (shape.numel() // max(len(below), 1), len(below)),
                device=below.device,
                dtype=below.dtype,
            )
            index = torch.searchsorted(below, (u.T * below[:, -1:]).contiguous(), right=True)
            return index.clamp(max=self._num_events - 1).T.reshape(shape)


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
