"""Hidden Markov models with linear dynamics and any noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.ops.matrices import matvecmul
from ppl.ops.scan import linear_recurrence

from .. import constraints
from ..transformed import TransformedDistribution
from .base import HiddenMarkovModel
from .linear_shapes import linear_shapes


class LinearHMM(HiddenMarkovModel):
    """Series of linear observations of a linear process, with noise of any kind.

    The model is::

        z = initial_dist.sample()
        for t in range(time):
            z = z @ transition_matrix + transition_dist.sample()
            y = z @ observation_matrix + observation_base_dist.sample()
            x.append(observation_transform(y))

    where ``observation_dist`` may be a ``TransformedDistribution``: its transforms apply to the
    sum. There is no ``log_prob``; a reparameterizer, or a loss that needs draws only, takes its
    place.

    Args:
        initial_dist: Over states, batch shape ``batch``, event shape ``(hidden,)``.
        transition_matrix: Shape ``(*batch, time, hidden, hidden)`` (from, to), or without time.
        transition_dist: Noise of a step, event shape ``(hidden,)``, batch shape ``(*batch, time)``
            or without time.
        observation_matrix: Shape ``(*batch, time, hidden, obs)``, or without time.
        observation_dist: Noise of an observation, event shape ``(obs,)``, batch shape ``(*batch,
            time)`` or without time.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        duration: Number of time steps, needed to draw if no parameter has time.
    Raises:
        ShapeError: If the shapes do not fit together.
    """

    has_rsample = True

    hidden_dim: int
    obs_dim: int
    transforms: list[torch.distributions.Transform]

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
            "LinearHMM",
            initial_dist,
            transition_matrix,
            transition_dist,
            observation_matrix,
            observation_dist,
        )
        super().__init__(duration, batch_shape, event_shape, validate_args)
        base, self.transforms = _split(observation_dist)
        steps = batch_shape + event_shape[:1] if duration is None else batch_shape + (duration,)
        self.initial_dist: TorchDistributionMixin = initial_dist.expand(batch_shape)
        self.transition_matrix: Tensor = transition_matrix.expand(
            steps + transition_matrix.shape[-2:]
        )
        self.transition_dist: TorchDistributionMixin = transition_dist.expand(steps)
        self.observation_matrix: Tensor = observation_matrix.expand(
            steps + observation_matrix.shape[-2:]
        )
        self.observation_dist: TorchDistributionMixin = base.expand(steps)

    @constraints.dependent_property(event_dim=2)
    def support(self) -> Any:
        if not self.transforms:
            return constraints.independent(constraints.real, 2)
        codomain = self.transforms[-1].codomain
        return constraints.independent(codomain, 2 - codomain.event_dim)

    def expand(self, batch_shape: Any, _instance: Any = None) -> LinearHMM:
        shape = torch.Size(batch_shape)
        steps = shape + self.event_shape[:1]
        matrices = (self.transition_matrix, self.observation_matrix)
        transition_matrix, observation_matrix = (m.expand(steps + m.shape[-2:]) for m in matrices)
        return self._replace(
            _instance,
            initial_dist=self.initial_dist.expand(shape),
            transition_matrix=transition_matrix,
            transition_dist=self.transition_dist.expand(steps),
            observation_matrix=observation_matrix,
            observation_dist=self.observation_dist.expand(steps),
            _batch_shape=shape,
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Raise ``NotImplementedError``: derived classes may know the density."""
        raise NotImplementedError(
            "LinearHMM has no density for noise of any kind; reparameterize the site with "
            "LinearHMMReparam, or use GaussianHMM if all noise is Gaussian"
        )

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        self._known_duration()
        init = self.initial_dist.rsample(sample_shape)
        noise = self.transition_dist.rsample(sample_shape)
        moved = matvecmul(self.transition_matrix[..., 0, :, :].mT, init)
        first, later = noise[..., :1, :] + moved.unsqueeze(-2), noise[..., 1:, :]
        states = linear_recurrence(self.transition_matrix, torch.cat([first, later], -2))
        x: Tensor = matvecmul(self.observation_matrix.mT, states)
        x = x + self.observation_dist.rsample(sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x


def _split(dist: Any) -> tuple[Any, list[torch.distributions.Transform]]:
    """Return a distribution as its base distribution and transforms of events."""
    transforms: list[torch.distributions.Transform] = []
    while True:
        if isinstance(dist, torch.distributions.Independent) and isinstance(
            dist.base_dist, TransformedDistribution
        ):
            count = dist.reinterpreted_batch_ndims
            transforms = [*dist.base_dist.transforms, *transforms]
            dist = dist.base_dist.base_dist.to_event(count)
        elif isinstance(dist, TransformedDistribution):
            transforms = [*dist.transforms, *transforms]
            dist = dist.base_dist
        else:
            return dist, transforms
