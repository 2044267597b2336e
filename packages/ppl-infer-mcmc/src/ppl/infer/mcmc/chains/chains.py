"""Chains under way: the state of a sampler together with its noise and its draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ppl.engine.threads import ENOUGH_WORK, threads_for
from ppl.errors import ArgumentError
from ppl.infer.mcmc.chains.sampler import STEPS_AT_ONCE, Sampler, State, Stride
from ppl.infer.mcmc.transition import step_records
from ppl.infer.mcmc.transition.machine import Noise, Tuning
from ppl.infer.mcmc.transition.noise import NoiseStream, Steps, StreamState
from ppl.infer.mcmc.transition.step_records import DrawBuffer, StepRecords

ROUNDINGS = 100  # by which a potential may differ on another machine


class Checkpoint(NamedTuple):
    """All that is needed to go on: nested records of plain tensors."""

    state: State
    stream: StreamState
    record: DrawBuffer


class ChainsEnd(NamedTuple):
    """What chains go on from, without what they have drawn."""

    state: State
    stream: StreamState


class Chains:
    """Runs a sampler and keeps what it draws.

    Args:
        sampler: What advances the chains.
        position: Where they start, shape ``(chain, dim)``.
        step_size: The first step size, perhaps ``(chain,)``, or where the search for it starts.
        seeds: A seed for each chain.
        stride: What takes the leapfrogs; by default the sampler itself.
    """

    def __init__(
        self,
        sampler: Sampler,
        position: Tensor,
        step_size: float | Tensor,
        seeds: Sequence[int],
        stride: Stride | None = None,
    ) -> None:
        self.sampler = sampler
        self._stride = stride or self._plain_stride
        self.stream: NoiseStream = NoiseStream(seeds, position)
        endless = math.isinf(sampler.num_draws)
        self.record: DrawBuffer = step_records.begin(
            position, 0 if endless else int(sampler.num_draws)
        )
        with torch.no_grad():
            self.state: State = sampler.begin(position, step_size, self._next_noise())
        self.records: StepRecords | None = None
        self.after_advance: Callable[[], Any] | None = None  # called by `run`

    @torch.no_grad()
    def run(
        self,
        report: Callable[[Chains], Any] = lambda chains: None,
        num_iterations: float = math.inf,
    ) -> None:
        """Advance until every chain has its draws, or has made so many transitions.

        `report` is called now and then.
        """
        work = getattr(self.sampler.machine.potential_and_grad, "work", ENOUGH_WORK)
        with threads_for(work):
            while not self.done and int(self.state.iteration.min()) < num_iterations:
                self._advance(STEPS_AT_ONCE)
                if self.after_advance is not None:
                    self.after_advance()
                report(self)

    @torch.no_grad()
    def leap(self) -> None:
        """Advance by one leapfrog."""
        self._advance(1)

    def _plain_stride(self, state: State, steps: Steps) -> tuple[State, StepRecords]:
        warming = self.sampler.is_warming(state)
        return self.sampler.stride(state, self.stream.draw(steps), warming)

    def _advance(self, num_steps: int) -> None:
        steps = self.stream.next(num_steps)
        state, self.records = self._stride(self.state, steps)
        num_warmup = self.sampler.warmup.num_steps
        self.record = step_records.write(self.record, self.records, num_warmup)
        last = partial(self.stream.draw_last, steps)
        self.state = self.sampler.adapt(state, last, self.records)

    @torch.no_grad()
    def move(self, position: Tensor) -> None:
        """Put the chains at `position`, shape ``(chain, dim)``."""
        self.state = self.sampler.move(self.state, position, self._next_noise())

    @torch.no_grad()
    def retune(self, tuning: Tuning) -> None:
        """Let the chains go on from where they are with another step size and metric."""
        self.state = self.state._replace(tuning=tuning)
        self.move(self.state.machine.draw.position)

    def _next_noise(self) -> Noise:
        return self.stream.draw_last(self.stream.next())

    @property
    def done(self) -> bool:
        """Whether every chain has its draws."""
        return int(self.state.iteration.min()) == self.sampler.num_iterations

    @property
    def num_draws(self) -> int:
        """How many draws after warm-up every chain has made so far."""
        return max(0, int(self.state.iteration.min()) - self.sampler.warmup.num_steps)

    def save(self) -> Checkpoint:
        """Return a checkpoint, at whatever leapfrog the chains are."""
        record = tree_map(torch.clone, self.record)  # written to in place
        return Checkpoint(self.state, self.stream.state(), record)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.state, self.record = checkpoint.state, checkpoint.record
        self.stream.restore(checkpoint.stream)

    @property
    def end(self) -> ChainsEnd:
        """From where the chains could go on."""
        return ChainsEnd(self.state, self.stream.state())

    @torch.no_grad()
    def go_on(self, end: ChainsEnd, is_new_run: bool = False) -> None:
        """Go on from where chains of the same target were.

        Args:
            end: Where they were.
            is_new_run: Whether transitions are counted anew.

        Raises:
            ArgumentError: If the potential there is another one.
        """
        draw = end.state.machine.draw
        found, _ = self.sampler.machine.potential_and_grad(draw.position)
        close = ROUNDINGS * torch.finfo(found.dtype).eps
        if not torch.allclose(found, draw.potential, rtol=close, atol=close, equal_nan=True):
            raise ArgumentError(
                f"the model or its data are others: minus the log density at the last draws was "
                f"{draw.potential.tolist()}, and now it is {found.tolist()}"
            )
        iteration = end.state.iteration * (not is_new_run)
        stops = torch.tensor(self.sampler.pause_iterations, device=iteration.device)
        paused = end.state.paused & torch.isin(iteration, stops) & (not is_new_run)
        self.state = end.state._replace(iteration=iteration, paused=paused)
        self.stream.restore(end.stream)

    @property
    def accept_prob(self) -> Tensor:
        """Mean acceptance probabilities of transitions of late."""
        assert self.records is not None
        return self.records.fields[self.records.finished][
            :, step_records.FIELDS.index("accept_prob")
        ]

    def last_fields(self) -> dict[str, float]:
        """Return the `step_records.FIELDS` of the last leapfrog of a single chain."""
        if self.records is None:
            return dict.fromkeys(step_records.FIELDS, math.nan)
        return dict(zip(step_records.FIELDS, self.records.fields[-1, 0].tolist(), strict=True))
