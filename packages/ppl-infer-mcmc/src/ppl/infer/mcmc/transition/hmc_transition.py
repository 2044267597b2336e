"""The transition of Hamiltonian Monte Carlo with trajectories of fixed length (Neal 2011)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.transition.integrator import Point, leapfrog
from ppl.infer.mcmc.transition.machine import (
    CPP,
    MAX_ENERGY_ERROR,
    Noise,
    Outcome,
    PhasePoint,
    Tuning,
    energy_error,
    refresh_momentum,
)
from ppl.infer.mcmc.transition.masking import select
from ppl.infer.mcmc.transition.metric import Metric, kinetic_energy

ROUNDING = 1e-3  # of a step: a length of four steps has four, however the division rounds


class HMCState(NamedTuple):
    """Where each chain is in its transition."""

    edge: Point  # the next leapfrog starts here
    initial_energy: Tensor  # (chain,)
    num_steps: Tensor  # (chain,), leapfrogs so far
    draw: PhasePoint  # the draw the transition started from


class FixedLength:
    """The transition of Hamiltonian Monte Carlo, one leapfrog a step.

    Args:
        potential_and_grad: Maps ``(chain, dim)`` to potentials ``(chain,)`` and gradients.
        trajectory_length: The time of a transition; it takes
            ``max(1, int(trajectory_length / step_size))`` leapfrogs.  One that diverges on the way
            ends there and is rejected.
    """

    native_source = CPP / "sampler.cpp"
    native_name = "hmc"

    def __init__(self, potential_and_grad: PotentialAndGrad, trajectory_length: float) -> None:
        self.potential_and_grad = potential_and_grad
        self.trajectory_length = trajectory_length
        self.native_settings: dict[str, float] = {"trajectory_length": trajectory_length}

    def start(self, draw: PhasePoint, metric: Metric, noise: Noise) -> HMCState:
        """Return the state in which every chain begins a transition at `draw`."""
        point, draw = refresh_momentum(draw, metric, noise)
        num_steps = torch.zeros_like(draw.potential, dtype=torch.long)
        return HMCState(point, draw.energy, num_steps, draw)

    def restart(self, state: HMCState, metric: Metric, noise: Noise) -> HMCState:
        """Return the state in which every chain begins its transition anew from its last draw."""
        return self.start(state.draw, metric, noise)

    def step(self, state: HMCState, tuning: Tuning, noise: Noise) -> tuple[HMCState, Outcome]:
        """Return the state one leapfrog later, and the outcome of the transitions that ended."""
        edge, potential = leapfrog(
            self.potential_and_grad, tuning.metric, state.edge, tuning.step_size
        )
        energy = potential + kinetic_energy(tuning.metric, edge.momentum)
        error = energy_error(energy, state.initial_energy)
        num_steps = state.num_steps + 1
        diverging = error > MAX_ENERGY_ERROR
        arrived = (num_steps + 1 - ROUNDING) * tuning.step_size > self.trajectory_length
        finished = arrived | diverging
        accepted = arrived & ~diverging & (noise.log_uniform[:, 0] < -error)
        end = PhasePoint(edge.position, edge.gradient, potential, energy)
        draw = select(accepted, end, state.draw)
        depth = torch.zeros_like(num_steps)  # no tree
        accept_prob = torch.exp(-error.clamp(min=0.0))
        outcome = Outcome(finished, draw, accept_prob, num_steps, depth, diverging, edge.position)
        after = HMCState(edge, state.initial_energy, num_steps, draw)
        return select(finished, self.start(draw, tuning.metric, noise), after), outcome
