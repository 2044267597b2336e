"""Finite mixtures."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.distribution.empty import lies_in
from ppl.distribution.feasible import feasible_like
from ppl.distribution.shapes import shape_of_samples

from . import constraints


class MixtureSameFamily(torch.distributions.MixtureSameFamily, TorchDistributionMixin):
    """Mixture of the rightmost batch entries of one distribution, weighted by a categorical.

    The supports of the components may differ: a value lies in that of the mixture if it lies in one
    of them.
    """

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.any_component(self._component_distribution.support)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        draws: Tensor = super().sample(shape_of_samples(self, sample_shape))
        return draws

    def log_prob(self, x: Tensor) -> Tensor:
        if not self._validate_args:
            density: Tensor = super().log_prob(x)
            return density
        self._validate_sample(x)
        densities = log_prob_inside(self._component_distribution, self._pad(x))
        log_weights = self._mixture_distribution.logits.log_softmax(-1)
        return (densities + log_weights).logsumexp(-1)

    def cdf(self, x: Tensor) -> Tensor:
        """Return the probability of a value at most ``x``."""
        component = copy.copy(self._component_distribution)
        component._validate_args = False  # where one component ends, another goes on
        level: Tensor = (component.cdf(self._pad(x)) * self._mixture_distribution.probs).sum(-1)
        return level.clamp(max=1.0)  # weights may sum to a little more


def log_prob_inside(dist: Any, value: Tensor) -> Tensor:
    """Return the log density of those values that ``dist`` can take, and -inf of the others."""
    inside = lies_in(dist.support, value)
    return torch.where(inside, log_prob_where(dist, value, inside), -torch.inf)


def log_prob_where(dist: Any, value: Tensor, owned: Tensor) -> Tensor:
    """Return log densities that are right where ``owned`` holds; others are never looked at.

    A point of the support stands in for a value that belongs to another part of a composite, so
    that it is neither refused nor sends a nan back through its gradient.
    """
    point = feasible_like(value, dist)
    if point is not None:
        value = torch.where(owned.reshape(owned.shape + (1,) * len(dist.event_shape)), value, point)
    density: Tensor = dist.log_prob(value)
    return density
