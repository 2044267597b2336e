"""Where finished draws are kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.transition.machine import Outcome

FIELDS = (
    "accept_prob",
    "step_size",
    "tree_depth",
    "num_steps",
    "energy",
    "diverging",
    "potential_energy",
)


class StepRecords(NamedTuple):
    """What the chains did in successive leapfrogs."""

    finished: Tensor  # (step, chain) bool: a transition ended here
    iteration: Tensor  # (step, chain), transitions finished before
    position: Tensor  # (step, chain, dim), the draw
    fields: Tensor  # (step, chain, field), see `FIELDS`
    end: Tensor  # (step, chain, dim), where the transition's last leapfrog led


class DrawBuffer(NamedTuple):
    """Buffers with one slot more than draws: the extra slot takes what is not kept."""

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


def begin(position: Tensor, num_draws: int) -> DrawBuffer:
    """Return empty buffers for chains at positions of shape ``(chain, dim)``."""
    chains, dim = position.shape
    return DrawBuffer(
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


def write(buffer: DrawBuffer, records: StepRecords, num_warmup: int) -> DrawBuffer:
    """Write the draws of records, those after the first `num_warmup` transitions of each chain.

    The spare slot takes the rest: leapfrogs that did not finish a transition, or one of warm-up.
    Returns the recording, with the same buffers and the divergences that came.
    """
    draw = records.iteration - num_warmup
    chain = torch.arange(draw.shape[1], device=draw.device).expand_as(draw)
    spare = buffer.position.shape[1] - 1
    slot = torch.where(records.finished & (draw >= 0), draw.clamp(max=spare), spare)
    buffer.position[chain, slot] = records.position
    buffer.fields[chain, slot] = records.fields
    diverging = records.fields[..., FIELDS.index("diverging")].bool() & (slot < spare)
    if not bool(diverging.any()):
        return buffer
    found = Divergences(chain[diverging], slot[diverging], records.end[diverging])
    return buffer._replace(divergences=Divergences.join([buffer.divergences, found]))
