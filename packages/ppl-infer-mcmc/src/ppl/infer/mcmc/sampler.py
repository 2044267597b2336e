"""The loop around a state machine: warm-up, then a fixed number of draws from every chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc import metric
from ppl.infer.mcmc.adaptation.step_size import reasonable_step_size
from ppl.infer.mcmc.adaptation.warmup import Adaptation, Warmup
from ppl.infer.mcmc.machine import Draw, Machine, Noise, Outcome, Tuning
from ppl.infer.mcmc.masking import select
from ppl.infer.mcmc.noise import NoiseStream

STEPS_AT_ONCE = 64


class State(NamedTuple):
    """All that a run is, between two leapfrogs: nested records of plain tensors."""

    machine: Any
    tuning: Tuning
    adaptation: Adaptation
    iteration: Tensor  # (chain,), transitions finished, those of warm-up included


Sink = Callable[[Outcome, State], None]
"""Takes the outcome of a leapfrog and the state before it."""


@dataclass(frozen=True)
class Sampler:
    """Advances chains through `warmup` and then `num_draws` transitions each.

    Args:
        machine: The transition, cut into leapfrogs.
        warmup: How the tuning is adapted.
        num_draws: Draws of each chain after warm-up, perhaps ``inf``.  A chain that has them stands
            still.
    """

    machine: Machine
    warmup: Warmup
    num_draws: float

    def begin(self, position: Tensor, step_size: float, noise: Noise) -> State:
        """Return the state of chains that start at `position`, shape ``(chain, dim)``."""
        steps = torch.full_like(position[:, 0], step_size)
        tuning = Tuning(steps, metric.identity(position, self.warmup.full_mass))
        machine = self._start(position, tuning, noise)
        adaptation = self.warmup.begin(position, steps)
        iteration = torch.zeros_like(steps, dtype=torch.long)
        state = State(machine, tuning, adaptation, iteration)
        everywhere = torch.ones_like(steps, dtype=torch.bool)
        return self._search_step_size(state, everywhere) if self.warmup.num_steps else state

    def move(self, state: State, position: Tensor, noise: Noise) -> State:
        """Return the state with the chains put at `position`, shape ``(chain, dim)``."""
        return state._replace(machine=self._start(position, state.tuning, noise))

    def _start(self, position: Tensor, tuning: Tuning, noise: Noise) -> Any:
        potential, gradient = self.machine.potential_and_grad(position)
        start = Draw(position, gradient, potential, potential)
        return self.machine.start(start, tuning.metric, noise)

    def step(self, state: State, noise: Noise, warming: bool = True) -> tuple[State, Outcome]:
        """Return the state one leapfrog later; `warming` says whether any chain is in warm-up."""
        machine, outcome = self.machine.step(state.machine, state.tuning, noise)
        adaptation, tuning = state.adaptation, state.tuning
        if warming:
            adaptation, tuning = self.warmup.update(adaptation, tuning, outcome, state.iteration)
        iteration = state.iteration + outcome.finished
        return State(machine, tuning, adaptation, iteration), outcome

    @property
    def num_iterations(self) -> float:
        """Transitions of a chain, those of warm-up included."""
        return self.warmup.num_steps + self.num_draws

    def advance(
        self, state: State, stream: NoiseStream, sink: Sink, limit: int = STEPS_AT_ONCE
    ) -> State:
        """Return the state some leapfrogs later, at least one and at most `limit`.

        A decision is due when a chain ends a window or stands still.  No chain gets there in fewer
        leapfrogs than it has transitions before it, so that many are taken without looking.

        Args:
            state: Where the chains are; some have draws missing.
            stream: The noise.
            sink: Is called after each leapfrog.
            limit: The largest number of leapfrogs.
        """
        counts = state.iteration.tolist()
        warming = min(counts) < self.warmup.num_steps
        some_stand_still = max(counts) == self.num_iterations
        for _ in range(int(min(limit, self._steps_without_decision(counts)))):
            noise = stream.next()
            after, outcome = self.step(state, noise, warming)
            sink(outcome, state)
            if some_stand_still:
                after = select(state.iteration < self.num_iterations, after, state)
            state = after
        return self._end_windows(state, outcome.finished, noise) if warming else state

    def _steps_without_decision(self, counts: list[int]) -> float:
        events = (*self.warmup.window_ends, self.warmup.num_steps, self.num_iterations)
        return min(
            min(event - count for event in events if event > count)
            for count in set(counts)
            if count < self.num_iterations
        )

    def _end_windows(self, state: State, finished: Tensor, noise: Noise) -> State:
        """Let the tuning change for the chains that have come to the end of a window."""
        ends = torch.tensor(self.warmup.window_ends, device=finished.device)
        ended = finished & torch.isin(state.iteration, ends)
        if bool(ended.any()):
            adaptation, tuning = self.warmup.renew_metric(state.adaptation, state.tuning, ended)
            restarted = self.machine.restart(state.machine, tuning.metric, noise)
            machine = select(ended, restarted, state.machine)
            state = State(machine, tuning, adaptation, state.iteration)
            state = self._search_step_size(state, ended)
        over = finished & (state.iteration == self.warmup.num_steps)
        return state._replace(tuning=self.warmup.settle(state.adaptation, state.tuning, over))

    def _search_step_size(self, state: State, searching: Tensor) -> State:
        if not self.warmup.adapt_step_size:
            return state
        step_size = reasonable_step_size(
            self.machine.potential_and_grad,
            state.tuning.metric,
            state.machine.edge,
            state.machine.initial_energy,
            state.tuning.step_size,
            searching,
        )
        adaptation, tuning = self.warmup.restart_step_size(
            state.adaptation, state.tuning, step_size, searching
        )
        return state._replace(adaptation=adaptation, tuning=tuning)
