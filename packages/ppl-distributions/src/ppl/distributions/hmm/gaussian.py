"""Hidden Markov models with Gaussian states and observations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.errors import ShapeError
from ppl.ops.gaussian import (
    AffineNormal,
    matrix_and_gaussian_to_gaussian,
    matrix_and_mvn_to_gaussian,
    mvn_to_gaussian,
)
from ppl.ops.scan import along_time

from .gaussian_series import GaussianSeries
from .linear_shapes import linear_shapes


class GaussianHMM(GaussianSeries):
    """Series of linear observations of a linear Gaussian process, both with Gaussian noise.

    The model is::

        z = initial_dist.sample()
        for t in range(time):
            z = z @ transition_matrix + transition_dist.sample()
            x.append(z @ observation_matrix + observation_dist.sample())

    Its density is that of the Kalman filter, in logarithmic depth (Särkkä and García-Fernández
    2019): Gaussian factors of pairs of successive states are multiplied in pairs. Factors that do
    not vary over time are factorized once for all steps.

    Args:
        initial_dist: ``MultivariateNormal``, or ``Normal`` with ``to_event(1)``, over states: batch
            shape ``batch``, event shape ``(hidden,)``.
        transition_matrix: Shape ``(*batch, time, hidden, hidden)`` (from, to), or without time.
        transition_dist: Noise of a step, of batch shape ``(*batch, time)`` or without time.
        observation_matrix: Shape ``(*batch, time, hidden, obs)``, or without time.
        observation_dist: Noise of an observation, event shape ``(obs,)``, batch shape ``(*batch,
            time)`` or without time.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        duration: Number of time steps, needed to draw if no parameter has time.
    Raises:
        ShapeError: If the shapes do not fit together.

    Example:
        >>> from ppl.distributions import Normal
        >>> noise = Normal(torch.zeros(1), 1.0).to_event(1)
        >>> one = torch.ones(1, 1)
        >>> GaussianHMM(noise, one, noise, one, noise).log_prob(torch.zeros(3, 1))
        tensor(-4.2791)
    """

    hidden_dim: int
    obs_dim: int

    def __init__(
        self,
        initial_dist: Any,
        transition_matrix: Tensor,
        transition_dist: Any,
        observation_matrix: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        batch_shape, event_shape, self.hidden_dim, self.obs_dim = linear_shapes(
            "GaussianHMM",
            initial_dist,
            transition_matrix,
            transition_dist,
            observation_matrix,
            observation_dist,
        )
        self._init = mvn_to_gaussian(initial_dist).expand(batch_shape)
        noise = mvn_to_gaussian(transition_dist)
        self._trans = matrix_and_gaussian_to_gaussian(transition_matrix, noise)
        self._obs = matrix_and_mvn_to_gaussian(observation_matrix, observation_dist)
        super().__init__(duration, batch_shape, event_shape, validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log_integral(self._likelihood(value))

    def prefix_condition(self, data: Tensor) -> GaussianHMM:
        """Return the distribution of the rest of a series given its beginning.

        Args:
            data: The first steps, shape ``(*batch, steps, obs)``.
        Raises:
            ShapeError: If the duration is not known, or ``data`` has as many steps.
        """
        steps, duration = data.shape[-2], self._known_duration()
        if steps >= duration:
            raise ShapeError(
                f"GaussianHMM.prefix_condition: expected fewer than {duration} steps, got {steps}"
            )
        state = self._during(0, steps)._state_given(data)
        init = state - state.event_logsumexp()
        rest = self._during(steps, duration)
        return rest._replace(_init=init, _batch_shape=init.batch_shape)

    def _during(self, start: int, stop: int) -> GaussianHMM:
        """Return the model of some steps, of which the first starts from the same state."""
        trans, obs = (
            type(factor)(*along_time(factor).every(start, stop))
            for factor in (self._trans, self._obs)
        )
        length = stop - start
        return self._replace(
            _trans=trans,
            _obs=obs,
            _duration=length,
            _event_shape=torch.Size((length, self.obs_dim)),
        )

    def conjugate_update(self, other: Any) -> tuple[GaussianHMM, Tensor]:
        """Return the posterior given independent evidence about a series, and its log evidence.

        Args:
            other: ``Normal`` with ``to_event(2)`` or ``MultivariateNormal`` with ``to_event(1)``,
                event shape ``(time, obs)``: the evidence as a normalized density of a series.

        Returns:
            ``(updated, log_normalizer)`` with ``self.log_prob(x) + other.log_prob(x) ==
            updated.log_prob(x) + log_normalizer``.
        """
        if self.duration not in (None, other.event_shape[0]) or other.event_dim != 2:
            raise ShapeError(
                f"GaussianHMM.conjugate_update: expected a distribution of event_shape "
                f"{tuple(self.event_shape)}, got {tuple(other.event_shape)}"
            )
        evidence = mvn_to_gaussian(other.to_event(-1)).event_pad(left=self.hidden_dim)
        obs = self._obs.to_gaussian() if isinstance(self._obs, AffineNormal) else self._obs
        joint = self._replace(
            _obs=obs + evidence, _duration=other.event_shape[0], _event_shape=other.event_shape
        )
        log_normalizer = joint._log_integral(joint._prediction(other.event_shape[0]))
        init = self._init - log_normalizer
        return joint._replace(_init=init, _batch_shape=init.batch_shape), log_normalizer
