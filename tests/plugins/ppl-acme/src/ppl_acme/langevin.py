"""Metropolis-adjusted Langevin: a kernel of many chains (Roberts & Tweedie 1996)."""

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc import GradientKernel
from ppl.infer.mcmc.transition import (
    MAX_ENERGY_ERROR,
    Outcome,
    PhasePoint,
    Point,
    energy_error,
    kinetic_energy,
    leapfrog,
    refresh_momentum,
    select,
)


class State(NamedTuple):
    """Where each chain is in its transition."""

    edge: Point  # the next leapfrog starts here
    initial_energy: Tensor  # (chain,)
    draw: PhasePoint  # the last draw


class OneLeapfrog:
    """A transition of a single leapfrog, accepted or not."""

    def __init__(self, potential_and_grad):
        self.potential_and_grad = potential_and_grad

    def start(self, draw, metric, noise):
        edge, draw = refresh_momentum(draw, metric, noise)
        return State(edge, draw.energy, draw)

    def restart(self, state, metric, noise):
        return self.start(state.draw, metric, noise)

    def step(self, state, tuning, noise):
        step_size, metric = tuning
        end, potential = leapfrog(self.potential_and_grad, metric, state.edge, step_size)
        energy = potential + kinetic_energy(metric, end.momentum)
        error = energy_error(energy, state.initial_energy)
        accepted = noise.log_uniform[:, 0] < -error
        proposal = PhasePoint(end.position, end.gradient, potential, energy)
        draw = select(accepted, proposal, state.draw)
        ones = torch.ones_like(error, dtype=torch.long)
        outcome = Outcome(
            finished=ones.bool(),
            draw=draw,
            accept_prob=(-error).clamp(max=0.0).exp(),
            num_steps=ones,
            tree_depth=torch.zeros_like(ones),
            diverging=error > MAX_ENERGY_ERROR,
            end=end.position,
        )
        return self.start(draw, metric, noise), outcome


class Langevin(GradientKernel):
    """Metropolis-adjusted Langevin; 0.574 suits many dimensions (Roberts & Rosenthal 1998)."""

    def __init__(self, model, step_size=0.5, target_accept_prob=0.574, **options):
        options["target_accept_prob"] = target_accept_prob
        super().__init__(model, step_size=step_size, **options)

    def transition(self, potential_and_grad, device):
        return OneLeapfrog(potential_and_grad)
