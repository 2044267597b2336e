"""What series with Gaussian factors share."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from ppl.distribution.shapes import shape_of_samples
from ppl.distribution.util import broadcast_shape
from ppl.ops.gaussian import (
    AffineNormal,
    Gaussian,
    gaussian_tensordot,
    integrate_most_states,
    sequential_gaussian_filter_sample,
    sequential_gaussian_tensordot,
)

from .. import constraints
from ..multivariate_normal import MultivariateNormal
from .base import HiddenMarkovModel

Self = TypeVar("Self", bound="GaussianSeries")


class GaussianSeries(HiddenMarkovModel):
    """Base of series whose density is an integral of Gaussian factors over hidden states.

    There is a factor of the state before the first step, one of each pair of successive states,
    and one of each state and its observation.
    """

    has_rsample = True
    support: constraints.Constraint = constraints.independent(constraints.real, 2)
    hidden_dim: int
    obs_dim: int
    _init: Gaussian
    _trans: Gaussian
    _obs: Gaussian | AffineNormal

    def expand(self: Self, batch_shape: Any, _instance: Any = None) -> Self:
        shape = torch.Size(batch_shape)
        return self._replace(_instance, _init=self._init.expand(shape), _batch_shape=shape)

    def filter(self, value: Tensor) -> MultivariateNormal:
        """Return the distribution of the last state given a series.

        Args:
            value: Shape ``(*batch, time, obs)``.
        """
        form = self._state_given(value).form
        mean, _ = form.mean_and_scale()
        return MultivariateNormal(
            mean, precision_matrix=form.precision, validate_args=self._validate_args
        )

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        states = self._rsample_states(
            self._prediction(self._known_duration()), shape_of_samples(self, sample_shape)
        )
        return self._obs.left_condition(states).rsample()

    def rsample_posterior(self, value: Tensor, sample_shape: Any = torch.Size()) -> Tensor:
        """Return reparameterized draws of the states after each step, given a series.

        Args:
            value: Shape ``(*batch, time, obs)``.
            sample_shape: Shape of independent draws.

        Returns:
            Shape ``(*sample, *batch, time, hidden)``.
        """
        return self._rsample_states(self._likelihood(value), sample_shape)

    def _likelihood(self, value: Tensor) -> Gaussian:
        """Return the factors of the states that a series gives."""
        if self._validate_args:
            self._validate_sample(value)
        return self._obs.condition(value)

    def _prediction(self, duration: int) -> Gaussian:
        """Return the factors of the states, their observations integrated out."""
        factor = self._obs.marginalize(right=self.obs_dim)
        shape = broadcast_shape(factor.batch_shape, (duration,))
        return Gaussian(factor.log_normalizer.expand(shape), *factor.form)

    def _steps(self, likelihood: Gaussian) -> Gaussian:
        return self._trans + likelihood.event_pad(left=self.hidden_dim)

    def _log_integral(self, likelihood: Gaussian) -> Tensor:
        """Return the log of the integral over all states, shape ``batch``."""
        states = integrate_most_states(self._steps(likelihood))
        init = self._init.event_pad(right=states.dim() - self.hidden_dim)
        return (states + init).event_logsumexp()

    def _state_given(self, value: Tensor) -> Gaussian:
        """Return the factor of the last state, the other ones integrated out."""
        ends = sequential_gaussian_tensordot(self._steps(self._likelihood(value)))
        return gaussian_tensordot(self._init, ends, self.hidden_dim)

    def _rsample_states(self, likelihood: Gaussian, sample_shape: Any) -> Tensor:
        steps = self._steps(likelihood)
        states = sequential_gaussian_filter_sample(self._init, steps, sample_shape)
        return states[..., 1:, :]
