"""Hidden Markov models with finitely many states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution.shapes import shape_of_samples
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError
from ppl.ops.log_space import log_sum_exp
from ppl.ops.markov_chain import log_chain
from ppl.ops.scan import Sequence, associative_scan

from .. import constraints
from ..categorical import Categorical
from .base import HiddenMarkovModel


class DiscreteHMM(HiddenMarkovModel):
    """Series that depend on a Markov chain with finitely many states.

    The first state is drawn by ``initial_logits``; then every time step moves to the next state and
    observes it. Densities are computed in logarithmic depth (Särkkä and García-Fernández 2019),
    and are exact, forbidden transitions (logits of -inf) included.

    Args:
        initial_logits: Unnormalized log probabilities of the state before the first step, shape
            ``(*batch, state)``.
        transition_logits: The same of transitions (from, to), shape ``(*batch, time, state,
            state)``, or without time.
        observation_dist: Distribution of an observation given the state, batch shape ``(*batch,
            time, state)``, or without time.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        duration: Number of time steps, needed to draw if no parameter has time.
    Raises:
        ShapeError: If the shapes do not fit together.

    Example:
        >>> from ppl.distributions import Normal
        >>> sticky = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()
        >>> hmm = DiscreteHMM(torch.zeros(2), sticky, Normal(torch.tensor([0.0, 5.0]), 1.0))
        >>> hmm.filter(torch.tensor([0.1, 4.8, 5.2])).probs.round(decimals=3)
        tensor([0., 1.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "initial_logits": constraints.real_vector,
        "transition_logits": constraints.independent(constraints.real, 2),
    }

    def __init__(
        self,
        initial_logits: Tensor,
        transition_logits: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        _check_states(initial_logits, transition_logits, observation_dist)
        *batch_shape, time = broadcast_shape(
            initial_logits.shape[:-1] + (1,),
            transition_logits.shape[:-2],
            observation_dist.batch_shape[:-1],
        )
        self.initial_logits: Tensor = initial_logits.log_softmax(-1)
        self.transition_logits: Tensor = transition_logits.log_softmax(-1)
        self.observation_dist = observation_dist
        event_shape = (time, *observation_dist.event_shape)
        super().__init__(duration, batch_shape, event_shape, validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.independent(self.observation_dist.support, 1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiscreteHMM:
        shape = torch.Size(batch_shape)
        logits = self.initial_logits.expand(shape + self.initial_logits.shape[-1:])
        return self._replace(_instance, initial_logits=logits, _batch_shape=shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return log_sum_exp(self._final_logits(value), -1)

    def filter(self, value: Tensor) -> Categorical:
        """Return the distribution of the last state given a series.

        Args:
            value: Shape ``(*batch, time, *observation)``.
        """
        if self._validate_args:
            self._validate_sample(value)
        return Categorical(logits=self._final_logits(value), validate_args=self._validate_args)

    def _final_logits(self, value: Tensor) -> Tensor:
        """Return the joint log densities of a series and its last state, ``(*batch, state)``."""
        likelihood = self.observation_dist.log_prob(value.unsqueeze(-1 - self.event_dim + 1))
        chain = log_chain(self.transition_logits, likelihood)  # (*batch, state, state)
        return log_sum_exp(self.initial_logits.unsqueeze(-1) + chain, -2)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = (
                shape_of_samples(self, sample_shape) + self.batch_shape + (self._known_duration(),)
            )
            states = self._sample_states(shape)
            each = self.observation_dist.expand(self.batch_shape + shape[-1:] + self._num_states)
            x = each.sample(sample_shape)  # of every state
            dim = len(shape)
            index = states.reshape(states.shape + (1,) * (x.dim() - dim))
            observed: Tensor = x.gather(dim, index.expand(shape + (1,) + x.shape[dim + 1 :]))
            return observed.squeeze(dim)

    def _sample_states(self, shape: torch.Size) -> Tensor:
        """Draw a step from every state at once; a chain is a product of such random maps."""
        first = Categorical(logits=self.initial_logits).expand(shape[:-1]).sample()
        maps = Categorical(logits=self.transition_logits).expand(shape + self._num_states).sample()
        (paths,) = associative_scan(_then, Sequence((maps,), (1,)))
        return paths.gather(-1, first[..., None, None].expand(shape + (1,))).squeeze(-1)

    @property
    def _num_states(self) -> torch.Size:
        return self.initial_logits.shape[-1:]


def _then(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (y[0].gather(-1, x[0]),)


def _check_states(initial_logits: Tensor, transition_logits: Tensor, observation_dist: Any) -> None:
    sizes = (
        initial_logits.shape[-1:],
        transition_logits.shape[-2:-1],
        transition_logits.shape[-1:],
        observation_dist.batch_shape[-1:],
    )
    if initial_logits.dim() == 0 or len(set(sizes)) > 1:
        raise ShapeError(
            "DiscreteHMM: expected initial_logits (*batch, state), transition_logits (*batch, "
            "time, state, state) and an observation_dist of batch_shape (*batch, time, state), got "
            f"{tuple(initial_logits.shape)}, {tuple(transition_logits.shape)} and "
            f"{tuple(observation_dist.batch_shape)}"
        )
