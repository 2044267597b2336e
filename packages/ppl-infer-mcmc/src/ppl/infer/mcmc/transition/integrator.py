"""The leapfrog integrator of Hamiltonian dynamics (Neal 2011, section 5.2.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.transition.metric import Metric, velocity


class Point(NamedTuple):
    """A point of phase space for each chain, with the gradient of the potential there."""

    position: Tensor  # (chain, dim)
    momentum: Tensor  # (chain, dim)
    gradient: Tensor  # (chain, dim)


def leapfrog(
    potential_and_grad: PotentialAndGrad, metric: Metric, point: Point, step: Tensor
) -> tuple[Point, Tensor]:
    """Return the point after one leapfrog of all chains, and the potential there.

    Args:
        potential_and_grad: The potential energy (nats) and its gradient.
        metric: The metric of the kinetic energy.
        point: Where the chains are.
        step: Signed step sizes, shape ``(chain,)``; negative ones go back in time.
    """
    step = step[:, None]
    half = 0.5 * step
    momentum = torch.addcmul(point.momentum, half, point.gradient, value=-1)
    position = torch.addcmul(point.position, step, velocity(metric, momentum))
    potential, gradient = potential_and_grad(position)
    momentum = torch.addcmul(momentum, half, gradient, value=-1)
    return Point(position, momentum, gradient), potential
