"""Gaussian hidden Markov models whose noise has an unknown common scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape
from ppl.ops.gamma_gaussian import (
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
    sequential_gamma_gaussian_tensordot,
)
from ppl.ops.gaussian import Gaussian, sequential_gaussian_filter_sample

from .. import constraints
from ..multivariate_normal import MultivariateNormal
from ..positive import Gamma
from .base import HiddenMarkovModel
from .linear_shapes import linear_shapes


class GammaGaussianHMM(HiddenMarkovModel):
    """Series of a Gaussian process whose precisions are all multiplied by one random number.

    The model is::

        s = scale_dist.sample()
        z = scale(initial_dist, s).sample()
        for t in range(time):
            z = z @ transition_matrix + scale(transition_dist, s).sample()
            x.append(z @ observation_matrix + scale(observation_dist, s).sample())

    where ``scale(mvn, s)`` has ``s`` times the precision of ``mvn``. States and observations have a
    joint multivariate Student distribution (Giron and Rojano 1994; Tronarp, Karvonen and Särkkä
    2019), and the density is computed in logarithmic depth.

    Args:
        scale_dist: ``Gamma``, of batch shape ``batch``.
        initial_dist: ``MultivariateNormal`` over states at scale one: batch shape ``batch``, event
            shape ``(hidden,)``.
        transition_matrix: Shape ``(*batch, time, hidden, hidden)`` (from, to), or without time.
        transition_dist: ``MultivariateNormal``, the noise of a step at scale one, of batch shape
            ``(*batch, time)`` or without time.
        observation_matrix: Shape ``(*batch, time, hidden, obs)``, or without time.
        observation_dist: ``MultivariateNormal``, the noise of an observation at scale one, event
            shape ``(obs,)``, batch shape ``(*batch, time)`` or without time.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        duration: Number of time steps, needed to draw if no parameter has time.
    Raises:
        ShapeError: If the shapes do not fit together.
    """

    has_rsample = True
    support: constraints.Constraint = constraints.independent(constraints.real, 2)

    hidden_dim: int
    obs_dim: int

    def __init__(
        self,
        scale_dist: Any,
        initial_dist: Any,
        transition_matrix: Tensor,
        transition_dist: Any,
        observation_matrix: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        batch_shape, event_shape, self.hidden_dim, self.obs_dim = linear_shapes(
            "GammaGaussianHMM",
            initial_dist.expand(broadcast_shape(scale_dist.batch_shape, initial_dist.batch_shape)),
            transition_matrix,
            transition_dist,
            observation_matrix,
            observation_dist,
        )
        self._scale = scale_dist.expand(batch_shape)
        init = gamma_and_mvn_to_gamma_gaussian(self._scale, initial_dist)
        self._init = init.expand(batch_shape)
        self._trans = matrix_and_mvn_to_gamma_gaussian(transition_matrix, transition_dist)
        self._obs = matrix_and_mvn_to_gamma_gaussian(observation_matrix, observation_dist)
        super().__init__(duration, batch_shape, event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> GammaGaussianHMM:
        shape = torch.Size(batch_shape)
        init, scale = self._init.expand(shape), self._scale.expand(shape)
        return self._replace(_instance, _init=init, _scale=scale, _batch_shape=shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._state_given(value).event_logsumexp().logsumexp()

    def filter(self, value: Tensor) -> tuple[Gamma, MultivariateNormal]:
        """Return the distributions of the scale, and of the last state at scale one.

        Args:
            value: Shape ``(*batch, time, obs)``.
        """
        state = self._state_given(value)
        gamma, (mean, _) = state.event_logsumexp(), state.form.mean_and_scale()
        checked = self._validate_args
        return (
            Gamma(gamma.concentration, gamma.rate, validate_args=checked),
            MultivariateNormal(mean, precision_matrix=state.precision, validate_args=checked),
        )

    def _state_given(self, value: Tensor) -> GammaGaussian:
        """Return the factor of the scale and the last state, the other ones integrated out."""
        if self._validate_args:
            self._validate_sample(value)
        likelihood = self._obs.condition(value).event_pad(left=self.hidden_dim)
        ends = sequential_gamma_gaussian_tensordot(self._trans + likelihood)
        return gamma_gaussian_tensordot(self._init, ends, self.hidden_dim)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        steps = self.batch_shape + (self._known_duration(),)
        s = self._scale.rsample(sample_shape)
        init, trans = (
            _at_scale(self._init, s),
            _at_scale(self._trans.expand(steps), s.unsqueeze(-1)),
        )
        states = sequential_gaussian_filter_sample(init, trans)[..., 1:, :]
        return _at_scale(self._obs.expand(steps), s.unsqueeze(-1)).left_condition(states).rsample()


def _at_scale(factor: GammaGaussian, s: Tensor) -> Gaussian:
    """Return the factor given the scale, up to a constant."""
    info_vec, precision = factor.form
    zero = torch.zeros_like(factor.log_normalizer * s)
    return Gaussian(zero, s.unsqueeze(-1) * info_vec, s[..., None, None] * precision)
