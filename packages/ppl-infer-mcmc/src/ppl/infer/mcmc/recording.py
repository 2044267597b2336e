"""Where finished draws are kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.divergences import Divergences
from ppl.infer.mcmc.machine import Outcome

FIELDS = (
    "accept_prob",
    "step_size",
    "tree_depth",
    "num_steps",
    "energy",
    "diverging",
    "potential_energy",
)


class Trail(NamedTuple):
    """What the chains did in successive leapfrogs."""

    finished: Tensor  # (step, chain) bool: a transition ended here
    iteration: Tensor  # (step, chain), transitions finished before
    position: Tensor  # (step, chain, dim), the draw
    fields: Tensor  # (step, chain, field), see `FIELDS`
    end: Tensor  # (step, chain, dim), where the transition's last leapfrog led


class Recording(NamedTuple):
    """Buffers with one slot more than draws: what is no draw is written there and forgotten."""

    position: Tensor  # (chain, draw + 1, dim)
    fields: Tensor  # (chain, draw + 1, field)
    divergences: Divergences

    @property
    def draws(self) -> Tensor:
        """The positions, shape ``(chain, draw, dim)``."""
        return self.position[:, :-1]

    def field(self, name: str) -> Tensor:
        """Return one of `FIELDS`, shape ``(chain, draw)``."""
        return self.fields[:, :-1, FIELDS.index(name)]


def begin(position: Tensor, num_draws: int) -> Recording:
    """Return empty buffers for chains at positions of shape ``(chain, dim)``."""
    chains, dim = position.shape
    return Recording(
        position.new_zeros(chains, num_draws + 1, dim),
        position.new_zeros(chains, num_draws + 1, len(FIELDS)),
        Divergences.none(position),
    )


def fields_of(outcome: Outcome, step_size: Tensor) -> Tensor:
    """Return the `FIELDS` of an outcome, shape ``(chain, field)``."""
    values = (
        outcome.accept_prob,
        step_size,
        outcome.tree_depth,
        outcome.num_steps,
        outcome.draw.energy,
        outcome.diverging,
        outcome.draw.potential,
    )
    return torch.stack([value.to(step_size.dtype) for value in values], -1)


def write(recording: Recording, trail: Trail, num_warmup: int) -> Recording:
    """Write the draws of a trail, those after the first `num_warmup` transitions of each chain.

    The spare slot takes the rest: leapfrogs that did not finish a transition, or one of warm-up.
    Returns the recording, with the same buffers and the divergences that came.
    """
    draw = trail.iteration - num_warmup
    chain = torch.arange(draw.shape[1], device=draw.device).expand_as(draw)
    spare = recording.position.shape[1] - 1
    slot = torch.where(trail.finished & (draw >= 0), draw.clamp(max=spare), spare)
    recording.position[chain, slot] = trail.position
    recording.fields[chain, slot] = trail.fields
    diverging = trail.fields[..., FIELDS.index("diverging")].bool() & (slot < spare)
    if not bool(diverging.any()):
        return recording
    found = Divergences(chain[diverging], slot[diverging], trail.end[diverging])
    return recording._replace(divergences=Divergences.join([recording.divergences, found]))
