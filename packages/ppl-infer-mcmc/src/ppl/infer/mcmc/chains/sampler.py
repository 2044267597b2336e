"""The loop around a state machine: warm-up, then a fixed number of draws from every chain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation.step_size import reasonable_step_size
from ppl.infer.mcmc.adaptation.warmup import Adaptation, Warmup
from ppl.infer.mcmc.transition.machine import Noise, PhasePoint, Transition, Tuning
from ppl.infer.mcmc.transition.masking import select
from ppl.infer.mcmc.transition.noise import Steps
from ppl.infer.mcmc.transition.step_records import StepRecords, fields_of

STEPS_AT_ONCE = 32  # leapfrogs between two looks at the chains
QUORUM = 0.75  # of the chains: when so many have ended a window, chains that pool end it all


class State(NamedTuple):
    """All that a run is, between two leapfrogs: nested records of plain tensors."""

    machine: Any
    tuning: Tuning
    adaptation: Adaptation
    iteration: Tensor  # (chain,), transitions finished, those of warm-up included
    paused: Tensor  # (chain,) bool: stands still, until its window ends or for good


Stride = Callable[[State, Steps], tuple[State, StepRecords]]
"""Takes one leapfrog for each of several steps."""


@dataclass(frozen=True)
class Sampler:
    """Advances chains through `warmup` and then `num_draws` transitions each.

    Args:
        machine: The transition, cut into leapfrogs.
        warmup: How the tuning is adapted.
        num_draws: Draws of each chain after warm-up, perhaps ``inf``.  A chain that has them stands
            still.
    """

    machine: Transition
    warmup: Warmup
    num_draws: float

    def begin(self, position: Tensor, step_size: float | Tensor, noise: Noise) -> State:
        """Return the state of chains that start at `position`, shape ``(chain, dim)``."""
        steps = position.new_zeros(len(position)) + step_size
        draw = self._draw(position)
        tuning = Tuning(steps, self.warmup.first_metric(draw))
        machine = self.machine.start(draw, tuning.metric, noise)
        adaptation = self.warmup.begin(position, steps)
        iteration = torch.zeros_like(steps, dtype=torch.long)
        paused = torch.zeros_like(steps, dtype=torch.bool)
        state = State(machine, tuning, adaptation, iteration, paused)
        return self._search_step_size(state, ~paused) if self.warmup.num_steps else state

    def move(self, state: State, position: Tensor, noise: Noise) -> State:
        """Return the state with the chains put at `position`, shape ``(chain, dim)``."""
        machine = self.machine.start(self._draw(position), state.tuning.metric, noise)
        return state._replace(machine=machine)

    def _draw(self, position: Tensor) -> PhasePoint:
        potential, gradient = self.machine.potential_and_grad(position)
        return PhasePoint(position, gradient, potential, potential)

    def step(self, state: State, noise: Noise, warming: bool = True) -> tuple[State, StepRecords]:
        """Return the state one leapfrog later; `warming` says whether any chain is in warm-up.

        A chain whose tuning is about to change, or that has all its draws, waits.
        """
        machine, outcome = self.machine.step(state.machine, state.tuning, noise)
        adaptation, tuning = state.adaptation, state.tuning
        if warming:
            adaptation, tuning = self.warmup.update(adaptation, tuning, outcome, state.iteration)
            if self.warmup.follows_draws:  # the next transition has the metric of this draw
                restarted = self.machine.restart(machine, tuning.metric, noise)
                machine = select(outcome.finished, restarted, machine)
        iteration = state.iteration + outcome.finished
        pause_iterations = torch.tensor(self.pause_iterations, device=iteration.device)
        paused = (iteration[:, None] == pause_iterations).any(-1)
        after = State(machine, tuning, adaptation, iteration, paused & outcome.finished)
        finished = outcome.finished & ~state.paused
        fields = fields_of(outcome, state.tuning.step_size)
        records = StepRecords(finished, state.iteration, outcome.draw.position, fields, outcome.end)
        return select(state.paused, state, after), records

    def stride(self, state: State, noise: Noise, warming: bool = True) -> tuple[State, StepRecords]:
        """Return the state after one leapfrog for each row of the noise, and the records."""
        rows = []
        for row in zip(*noise, strict=True):
            state, records = self.step(state, Noise(*row), warming)
            rows.append(records)
        return state, StepRecords(*map(torch.stack, zip(*rows, strict=True)))

    @property
    def num_iterations(self) -> float:
        """Transitions of a chain, those of warm-up included."""
        return self.warmup.num_steps + self.num_draws

    @property
    def pause_iterations(self) -> list[int]:
        """The numbers of transitions after which a chain waits."""
        pause_iterations = [*self.warmup.restarts, self.warmup.num_steps, self.num_iterations]
        return [int(n) for n in pause_iterations if n < math.inf]

    def is_warming(self, state: State) -> bool:
        """Return whether any chain is in warm-up."""
        return bool((state.iteration < self.warmup.num_steps).any())

    def adapt(self, state: State, noise: Callable[[], Noise], records: StepRecords | None) -> State:
        """Return the state with new tuning for the chains that wait for it.

        Args:
            state: The state after some leapfrogs.
            noise: Draws the noise of transitions that begin anew.
            records: What the chains did since the last decision; None if they do not learn from
                each other.
        """
        if self.warmup.cross_chain_adaptation and self.is_warming(state):
            assert records is not None
            state = self._gather(state, noise, records)
            decides = state.paused.all()
        else:
            decides = state.paused.any()
        if not bool(decides):
            return state
        state = self._end_windows(state, noise)
        over = state.paused & (state.iteration == self.warmup.num_steps)
        tuning = self.warmup.finalize(state.adaptation, state.tuning, over)
        return state._replace(tuning=tuning, paused=state.iteration == self.num_iterations)

    def _gather(self, state: State, noise: Callable[[], Noise], records: StepRecords) -> State:
        """Let chains that learn from each other adapt, and the last end a window with the others.

        A chain that is stuck goes on with what the others have learnt: they do not wait for it.
        """
        adaptation, tuning = self.warmup.update_together(state.adaptation, state.tuning, records)
        state = state._replace(adaptation=adaptation, tuning=tuning)
        if float(state.paused.float().mean()) < QUORUM:
            return state
        restarted = self.machine.restart(state.machine, tuning.metric, noise())
        return state._replace(
            machine=select(state.paused, state.machine, restarted),
            iteration=state.iteration.max().expand_as(state.iteration),
            paused=torch.ones_like(state.paused),
        )

    def _end_windows(self, state: State, noise: Callable[[], Noise]) -> State:
        """Renew the metric of the chains whose window has ended, and then their step size."""
        ends = torch.tensor(self.warmup.restarts, device=state.paused.device)
        ended = state.paused & torch.isin(state.iteration, ends)
        if not bool(ended.any()):
            return state
        adaptation, tuning = self.warmup.renew_metric(
            state.adaptation, state.tuning, state.machine.draw, ended, self._shares(state)
        )
        restarted = self.machine.restart(state.machine, tuning.metric, noise())
        machine = select(ended, restarted, state.machine)
        state = state._replace(machine=machine, tuning=tuning, adaptation=adaptation)
        return self._search_step_size(state, ended)

    def _shares(self, state: State) -> bool:
        """Whether the chains are to have one tuning."""
        return self.warmup.cross_chain_adaptation and bool(
            (state.iteration >= self.warmup.pools_from).all()
        )

    def _search_step_size(self, state: State, searching: Tensor) -> State:
        if not self.warmup.adapt_step_size:
            return state
        shared, found = self._shares(state), state.adaptation.average.log_step_mean
        settles = state.iteration >= self.warmup.settles_from
        if self.warmup.keeps_metric(state.iteration):
            step_size = found.exp()
        else:
            step_size = reasonable_step_size(
                self.machine.potential_and_grad,
                state.tuning.metric,
                state.machine.edge,
                state.machine.initial_energy,
                state.tuning.step_size,
                searching,
            )
            guess = step_size.log().mean() if shared else step_size.log()
            goes_on = shared and int(state.iteration[0]) > self.warmup.pools_from
            # what was found stays, unless the metric has changed much
            near = found.clamp(guess - math.log(2), guess + math.log(2)).exp()
            step_size = near.where(settles | goes_on, step_size)
        adaptation, tuning = self.warmup.restart_step_size(
            state.adaptation, state.tuning, step_size, searching, settles, shared
        )
        return state._replace(adaptation=adaptation, tuning=tuning)
