"""Markov random fields of Gaussian factors along time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError
from ppl.ops.gaussian import mvn_to_gaussian

from .gaussian_series import GaussianSeries


class GaussianMRF(GaussianSeries):
    """Series of observations of hidden states, coupled by Gaussian factors.

    Unlike in a :class:`GaussianHMM`, factors need not be conditional densities: their product is
    normalized as a whole, which takes one more pass of logarithmic depth.

    Args:
        initial_dist: ``MultivariateNormal`` over the state before the first step: batch shape
            ``batch``, event shape ``(hidden,)``.
        transition_dist: ``MultivariateNormal`` over the states before and after a step: batch shape
            ``(*batch, time)`` or without time, event shape ``(hidden + hidden,)``.
        observation_dist: ``MultivariateNormal`` over a state and its observation: batch shape
            ``(*batch, time)`` or without time, event shape ``(hidden + obs,)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If the shapes do not fit together.
    """

    def __init__(
        self,
        initial_dist: Any,
        transition_dist: Any,
        observation_dist: Any,
        validate_args: bool | None = None,
    ) -> None:
        (hidden,), (pair,) = initial_dist.event_shape, transition_dist.event_shape
        self.hidden_dim: int = hidden
        self.obs_dim: int = observation_dist.event_shape[0] - hidden
        if pair != 2 * hidden or self.obs_dim < 0:
            raise ShapeError(
                f"GaussianMRF: with {hidden} hidden variables expected transition_dist over "
                f"{2 * hidden} and observation_dist over at least {hidden} variables, got {pair} "
                f"and {hidden + self.obs_dim}"
            )
        *batch_shape, time = broadcast_shape(
            initial_dist.batch_shape + (1,),
            transition_dist.batch_shape,
            observation_dist.batch_shape,
        )
        self._init = mvn_to_gaussian(initial_dist).expand(batch_shape)
        self._trans = mvn_to_gaussian(transition_dist)
        self._obs = mvn_to_gaussian(observation_dist)
        super().__init__(None, batch_shape, torch.Size((time, self.obs_dim)), validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        log_joint = self._log_integral(self._likelihood(value))
        return log_joint - self._log_integral(self._prediction(value.shape[-2]))
