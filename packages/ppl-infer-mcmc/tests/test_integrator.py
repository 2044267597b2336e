"""Laws of the leapfrog."""

from __future__ import annotations

import pytest
import torch

from ppl.infer.mcmc.transition.integrator import Point, leapfrog
from ppl.infer.mcmc.transition.metric import dense, diagonal, kinetic_energy

from .targets import ALL, generator


def start(target, chains=5, seed=0, kind="diagonal"):
    random = generator(seed)
    position = target.draw(chains, random)
    dim = position.shape[1]
    a = torch.randn(chains, dim, dim, generator=random, dtype=torch.float64)
    metric = (
        diagonal(a[:, 0].exp())
        if kind == "diagonal"
        else dense(a @ a.mT + torch.eye(dim, dtype=torch.float64))
    )
    momentum = torch.randn(position.shape, generator=random, dtype=torch.float64)
    _, gradient = target.potential_and_grad(position)
    return Point(position, momentum, gradient), metric


def integrate(target, metric, point, step_size, num_steps):
    step = torch.full(point.position.shape[:1], step_size, dtype=torch.float64)
    for _ in range(num_steps):
        point, potential = leapfrog(target.potential_and_grad, metric, point, step)
    return point, potential + kinetic_energy(metric, point.momentum)


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
@pytest.mark.parametrize("target", ALL, ids=str)
def test_going_back_undoes_going_forward(target, kind):
    point, metric = start(target, kind=kind)
    there, _ = integrate(target, metric, point, 0.05, 20)
    back, _ = integrate(target, metric, there, -0.05, 20)
    torch.testing.assert_close(back, point)


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
@pytest.mark.parametrize("target", ALL, ids=str)
def test_a_leapfrog_preserves_the_symplectic_form(target, kind):
    point, metric = start(target, chains=1, kind=kind)
    dim = point.position.shape[1]

    def flow(phase):
        position, momentum = phase[None, :dim], phase[None, dim:]
        gradient = torch.func.grad(target.potential)(position[0])[None]
        step = torch.full((1,), 0.3, dtype=torch.float64)
        end, _ = leapfrog(
            target.potential_and_grad, metric, Point(position, momentum, gradient), step
        )
        return torch.cat((end.position[0], end.momentum[0]))

    jacobian = torch.func.jacrev(flow)(torch.cat((point.position[0], point.momentum[0])))
    eye, zero = torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    form = torch.cat((torch.cat((zero, eye), 1), torch.cat((-eye, zero), 1)), 0)
    torch.testing.assert_close(jacobian.mT @ form @ jacobian, form)


@pytest.mark.parametrize("target", ALL, ids=str)
def test_the_energy_error_shrinks_with_the_square_of_the_step(target):
    point, metric = start(target)
    potential, _ = target.potential_and_grad(point.position)
    energy = potential + kinetic_energy(metric, point.momentum)
    errors = []
    for num_steps in (512, 1024):
        _, after = integrate(target, metric, point, 0.512 / num_steps, num_steps)
        errors.append((after - energy).abs())
    torch.testing.assert_close(
        errors[0] / errors[1], torch.full_like(energy, 4.0), rtol=0.02, atol=0
    )
