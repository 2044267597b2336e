"""Distributions over the probability simplex."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ppl.distribution import Distribution, TorchDistributionMixin
from ppl.errors import ShapeError

from . import saddle_point
from .categorical import Categorical
from .closed_forms import entropy_in_double
from .conjugacy import multiply_dirichlets
from .noise import keep_positive, sample_dirichlet
from .parameters import as_parameter
from .transformed import TransformedDistribution


class Dirichlet(torch.distributions.Dirichlet, TorchDistributionMixin):
    """Dirichlet with ``concentration > 0``, shape ``(*batch, k)``, on the simplex."""

    entropy = entropy_in_double(torch.distributions.Dirichlet)

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

    def _inside(self, draw: Tensor) -> Tensor:
        return _keep_inside(draw)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        on_border = (value == 0).any(-1)  # where the tails of the normal outweigh all else
        value = torch.where(on_border.unsqueeze(-1), 1 / value.shape[-1], value)
        # what is left of the stick as a sum: one minus the pieces before has no digits near 0
        left = value.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        log_piece = value.log()[..., :-1]  # a slice of rows is slow to go through
        log_odds = log_piece - left.log()
        pieces = torch.arange(value.shape[-1] - 1, 0, -1).to(value)
        density: Tensor = self.base_dist.log_prob(log_odds + pieces.log())
        density = density - (logsigmoid(-log_odds) + log_piece).sum(-1)
        return torch.where(on_border, -torch.inf, density)


class RelaxedOneHotCategorical(
    torch.distributions.RelaxedOneHotCategorical, TransformedDistribution
):
    """Concrete relaxation of a categorical at a ``temperature``, on the simplex (Maddison 2017).

    Args:
        temperature: Positive; one for all, or one for each categorical, shape ``(*batch, 1)``.
        probs: Weights of the categories, shape ``(*batch, k)``; or
        logits: Their logarithms.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If the temperature differs between categories.
    """

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        weights = probs if logits is None else logits
        temperature = as_parameter(temperature, torch.tensor(0.0) if weights is None else weights)
        if temperature.dim() and temperature.shape[-1] != 1:
            raise ShapeError(
                "RelaxedOneHotCategorical: expected a temperature without dimensions, or of shape "
                f"(*batch, 1), got {tuple(temperature.shape)}; write temperature.unsqueeze(-1)"
            )
        super().__init__(temperature, probs, logits, validate_args)
        self.base_dist._categorical = Categorical(probs, logits)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(RelaxedOneHotCategorical, _instance)
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, equation (1) of the paper; its limit on the border.

        Coordinates that are 0 approach it together there, from the inside.
        """
        if self._validate_args:
            self._validate_sample(value)
        return _relaxed_categorical(value, self.temperature, self.logits)

    def _inside(self, draw: Tensor) -> Tensor:
        return _keep_inside(draw)


def _relaxed_categorical(value: Tensor, temperature: Tensor, logits: Tensor) -> Tensor:
    zero = value == 0
    log = torch.where(zero, 1.0, value).log()
    score = logits - temperature * log
    # where there are zeros, their powers outgrow all others in the sum
    largest = torch.where(zero | ~zero.any(-1, True), score, -torch.inf)
    shares = score - largest.logsumexp(-1, True)
    num, num_zero = value.shape[-1], zero.sum(-1)
    rate = temperature[..., 0] if temperature.dim() else temperature
    at_border = torch.xlogy(rate * (num - num_zero) - num_zero, torch.zeros_like(rate))
    scale = math.lgamma(num) + (num - 1) * rate.log()
    return scale + (shares - log).sum(-1) + torch.where(num_zero > 0, at_border, 0.0)


def _keep_inside(draw: Tensor) -> Tensor:
    """Return a point of the simplex whose coordinates are not rounded to 0."""
    positive = keep_positive(draw)
    return positive / positive.sum(-1, keepdim=True)
