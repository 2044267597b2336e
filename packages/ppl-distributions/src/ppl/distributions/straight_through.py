"""Relaxed discrete distributions whose draws are discrete nevertheless.

A draw is rounded; its gradient is that of the relaxed draw it was rounded from (Maddison, Mnih and
Teh 2017; Jang, Gu and Poole 2017), which is biased. The draw remembers the relaxed value, and that
is what ``log_prob`` scores.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .simplex import RelaxedOneHotCategorical
from .unit_interval import RelaxedBernoulli


class RelaxedBernoulliStraightThrough(RelaxedBernoulli):
    """Relaxed Bernoulli whose reparameterized draws are 0 or 1; see the note of this module.

    Args:
        temperature: Of the relaxation, positive.
        probs: Probability of 1; or
        logits: Its log odds.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(temperature, probs, logits, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(RelaxedBernoulliStraightThrough, _instance)
        return super().expand(batch_shape, new)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return 0 or 1, with the gradient of the relaxed value."""
        relaxed = super().rsample(sample_shape)
        return _straight_through(relaxed.round(), relaxed)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of the relaxed value behind ``value``, a draw."""
        log_prob: Tensor = super().log_prob(getattr(value, "_relaxed", value))
        return log_prob


class RelaxedOneHotCategoricalStraightThrough(RelaxedOneHotCategorical):
    """Relaxed categorical whose reparameterized draws are one-hot; see the note of this module.

    Args:
        temperature: Of the relaxation, positive.
        probs: Weights of the categories, shape ``(*batch, k)``; or
        logits: Their logs.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(temperature, probs, logits, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(RelaxedOneHotCategoricalStraightThrough, _instance)
        return super().expand(batch_shape, new)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a unit vector, with the gradient of the relaxed value."""
        relaxed = super().rsample(sample_shape)
        categories = torch.arange(relaxed.shape[-1], device=relaxed.device)
        one_hot = relaxed.argmax(-1, keepdim=True) == categories
        return _straight_through(one_hot.to(relaxed.dtype), relaxed)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of the relaxed value behind ``value``, a draw."""
        log_prob: Tensor = super().log_prob(getattr(value, "_relaxed", value))
        return log_prob


def _straight_through(rounded: Tensor, relaxed: Tensor) -> Tensor:
    """Return ``rounded`` with the gradient of ``relaxed``, which it remembers."""
    draw: Any = rounded.detach() + (relaxed - relaxed.detach())
    draw._relaxed = relaxed
    return draw  # type: ignore[no-any-return]
