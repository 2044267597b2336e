"""The iterative tree is the recursive tree."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ppl.infer.mcmc.transition.machine import Noise, PhasePoint, Tuning
from ppl.infer.mcmc.transition.metric import dense, diagonal
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn

from .targets import ALL, generator, normal

MAX_DEPTH = 6


@dataclass
class Block:
    """A recursively built block of leaves, in the order of integration."""

    first: Tensor
    last: Tensor
    total: Tensor
    valid: bool


@dataclass
class Recursive:
    """No-U-Turn trees as the papers define them, one chain, plain recursion."""

    potential: object
    inverse_mass: Tensor  # (dim, dim)
    step_size: float
    leaves: list

    def turns(self, a: Block, b: Block) -> bool:
        def against(total: Tensor, first: Tensor, last: Tensor) -> bool:
            drift = self.inverse_mass @ total
            return bool(first @ drift <= 0) or bool(last @ drift <= 0)

        return (
            against(a.total + b.total, a.first, b.last)
            or against(a.total + b.first, a.first, b.first)
            or against(a.last + b.total, a.last, b.last)
        )

    def leaf(self, end: list, direction: float) -> Block:
        z, r = end
        h = direction * self.step_size
        grad = torch.func.grad(self.potential)
        r = r - 0.5 * h * grad(z)
        z = z + h * self.inverse_mass @ r
        r = r - 0.5 * h * grad(z)
        end[:] = [z, r]
        self.leaves.append(z)
        energy = self.energy(z, r)
        diverges = not bool(energy - self.initial_energy <= 1000)
        return Block(r, r, r, not diverges)

    def energy(self, z: Tensor, r: Tensor) -> Tensor:
        return self.potential(z) + 0.5 * r @ self.inverse_mass @ r

    def build(self, end: list, depth: int, direction: float) -> Block:
        if depth == 0:
            return self.leaf(end, direction)
        a = self.build(end, depth - 1, direction)
        if not a.valid:
            return a
        b = self.build(end, depth - 1, direction)
        valid = b.valid and not self.turns(a, b)
        return Block(a.first, b.last, a.total + b.total, valid)

    def run(self, z: Tensor, r: Tensor, directions: list[float]) -> int:
        """Return the depth at which the trajectory stops."""
        self.initial_energy = self.energy(z, r)
        ends = {1.0: [z, r], -1.0: [z, r]}
        total = r
        for depth in range(MAX_DEPTH):
            direction = directions[depth]
            far, near = ends[-direction][1], ends[direction][1]
            subtree = self.build(ends[direction], depth, direction)
            if not subtree.valid:
                return depth
            if self.turns(Block(far, near, total, True), subtree):
                return depth + 1
            total = total + subtree.total
        return MAX_DEPTH


def noise(normal: Tensor, direction_coin: bool) -> Noise:
    log_uniforms = torch.full((1, 4), -0.1, dtype=torch.float64)  # leaves and joins: mostly tails
    log_uniforms[:, 2] = -1.0 if direction_coin else -0.1
    return Noise(normal[None], log_uniforms)


def iterative(potential_and_grad, metric, step_size, z, normal, directions):
    """Return the leaves that the machine visits and the depth at which it stops."""
    leaves = []

    def spy(position):
        leaves.append(position[0].clone())
        return potential_and_grad(position)

    machine = NoUTurn(spy, MAX_DEPTH)
    potential, gradient = potential_and_grad(z[None])
    draw = PhasePoint(z[None], gradient, potential, potential)
    state = machine.start(draw, metric, noise(normal, directions[0] > 0))
    tuning = Tuning(torch.full((1,), step_size, dtype=torch.float64), metric)
    while True:
        depth = int(state.tree.depth)
        flips = depth + 1 < MAX_DEPTH and directions[depth + 1] != directions[depth]
        state, outcome = machine.step(state, tuning, noise(normal, flips))
        if outcome.finished:
            return leaves, int(outcome.tree_depth), outcome


def a_metric(kind: str, dim: int, seed: int):
    a = torch.randn(1, dim, dim, generator=generator(seed), dtype=torch.float64)
    if kind == "diagonal":
        return diagonal(a[:, 0].exp())
    return dense(a @ a.mT + torch.eye(dim, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
@pytest.mark.parametrize("step_size", [0.05, 0.2, 0.7, 1.5])
@pytest.mark.parametrize("target", ALL + [normal(3)], ids=str)
def test_the_iterative_tree_visits_the_leaves_of_the_recursive_one_and_stops_with_it(
    target, step_size, kind
):
    for seed in range(10):
        random = generator(seed)
        z = target.draw(1, random)[0]
        normal = torch.randn(z.shape, generator=random, dtype=z.dtype)
        directions = [1.0 if c else -1.0 for c in torch.rand(MAX_DEPTH, generator=random) < 0.5]
        metric = a_metric(kind, z.shape[0], seed)
        inverse = metric.inverse[0].diag() if kind == "diagonal" else metric.inverse[0]
        root = metric.root[0].diag() if kind == "diagonal" else metric.root[0]
        reference = Recursive(target.potential, inverse, step_size, [])
        depth = reference.run(z, root @ normal, directions)
        leaves, iterative_depth, outcome = iterative(
            target.potential_and_grad, metric, step_size, z, normal, directions
        )
        assert iterative_depth == depth
        assert len(leaves) == len(reference.leaves) == int(outcome.num_steps)
        torch.testing.assert_close(torch.stack(leaves), torch.stack(reference.leaves))
