"""The first guess of the step size (Hoffman & Gelman 2014, algorithm 4), for many chains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.transition.integrator import Point, leapfrog
from ppl.infer.mcmc.transition.machine import energy_error
from ppl.infer.mcmc.transition.metric import Metric, kinetic_energy

LOG_ACCEPT = math.log(0.8)
MIN_STEP, MAX_STEP = 1e-10, 1e10


def reasonable_step_size(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    point: Point,
    energy: Tensor,
    step_size: Tensor,
    searching: Tensor,
) -> Tensor:
    """Return step sizes at which one leapfrog is accepted with probability about 0.8.

    Doubles or halves each chain's step size until the acceptance probability of a leapfrog from
    `point`, with total energy `energy`, crosses 0.8.  (The paper says 0.5; 0.8 is closer to where
    the adaptation ends.)

    Args:
        potential_and_grad: The potential energy (nats) and its gradient.
        metric: The metric of the kinetic energy.
        point: Where the chains are.
        energy: Shape ``(chain,)``.
        step_size: Where the search starts, shape ``(chain,)``.
        searching: Which chains search, bool ``(chain,)``; the others keep their step size.
    """

    def accepted(step_size: Tensor) -> Tensor:
        end, potential = leapfrog(potential_and_grad, metric, point, step_size)
        error = energy_error(potential + kinetic_energy(metric, end.momentum), energy)
        return -error > LOG_ACCEPT

    grows = accepted(step_size)
    while bool(searching.any()):
        factor = torch.where(grows, 2.0, 0.5)
        step_size = torch.where(searching, step_size * factor, step_size)
        inside = (step_size > MIN_STEP) & (step_size < MAX_STEP)
        searching = searching & (accepted(step_size) == grows) & inside
    return step_size
