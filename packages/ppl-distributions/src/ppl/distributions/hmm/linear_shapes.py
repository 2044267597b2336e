"""Shapes of models with linear dynamics and observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError


class LinearShapes(NamedTuple):
    """Shapes of a model: of the batch, of the event (time and observation), and of a state."""

    batch_shape: torch.Size
    event_shape: torch.Size
    hidden_dim: int
    obs_dim: int


def linear_shapes(
    name: str,
    initial_dist: Any,
    transition_matrix: Tensor,
    transition_dist: Any,
    observation_matrix: Tensor,
    observation_dist: Any,
) -> LinearShapes:
    """Return the shapes of a model with linear dynamics.

    Args:
        name: Of the distribution, for messages.
        initial_dist: Over states, batch shape ``batch``, event shape ``(hidden,)``.
        transition_matrix: Shape ``(*batch, time, hidden, hidden)``.
        transition_dist: Of the noise of a step, batch shape ``(*batch, time)``.
        observation_matrix: Shape ``(*batch, time, hidden, obs)``.
        observation_dist: Of the noise of an observation, batch shape ``(*batch, time)``.
    Raises:
        ShapeError: If they do not fit together.
    """
    hidden, obs = (*observation_matrix.shape[-2:], 0, 0)[:2]
    expected = [(hidden,), (hidden, hidden), (hidden,), (hidden, obs), (obs,)]
    found = [
        tuple(initial_dist.event_shape),
        tuple(transition_matrix.shape[-2:]),
        tuple(transition_dist.event_shape),
        tuple(observation_matrix.shape[-2:]),
        tuple(observation_dist.event_shape),
    ]
    if found != expected:
        raise ShapeError(
            f"{name}: expected event_shapes {(hidden,)} of initial_dist and transition_dist and "
            f"{(obs,)} of observation_dist, transition_matrix (..., {hidden}, {hidden}) and "
            f"observation_matrix (..., {hidden}, {obs}), got {found[0]}, {found[2]}, {found[4]}, "
            f"{found[1]} and {found[3]}; univariate noise needs .to_event(1)"
        )
    *batch_shape, time = broadcast_shape(
        initial_dist.batch_shape + (1,),
        transition_matrix.shape[:-2],
        transition_dist.batch_shape,
        observation_matrix.shape[:-2],
        observation_dist.batch_shape,
    )
    return LinearShapes(torch.Size(batch_shape), torch.Size((time, obs)), hidden, obs)
