"""The transition of the No-U-Turn sampler (Hoffman & Gelman 2014; Betancourt 2017).

Every chain is somewhere in its own trajectory.  A step adds one leaf to each chain's subtree; where
that completes the subtree, it is joined to the tree; where the tree turns, diverges or is deep
enough, its proposal becomes the draw and a new trajectory starts.  No chain waits for another.
"""

from __future__ import annotations

import math
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
from ppl.infer.mcmc.transition.tree import (
    Schedule,
    Subtree,
    Tree,
    begin_subtree,
    grow,
    join,
    no_subtree,
    schedule,
    seed_tree,
)


class TrajectoryStats(NamedTuple):
    """Running sums over a trajectory."""

    accept_sum: Tensor  # (chain,), of the acceptance probabilities of all leaves
    num_steps: Tensor  # (chain,), leapfrogs


class Trajectory(NamedTuple):
    """Where each chain is in its transition."""

    edge: Point  # the next leapfrog starts here
    direction: Tensor  # (chain,), 1 or -1: forward or backward in time
    initial_energy: Tensor  # (chain,)
    log_slice: Tensor  # (chain,), log of the slice variable relative to the initial density
    tree: Tree
    subtree: Subtree
    stats: TrajectoryStats

    @property
    def draw(self) -> PhasePoint:
        """The proposal; at the start of a trajectory, the last draw."""
        return self.tree.proposal


class LogUniforms(NamedTuple):
    """Log-uniforms, one for each decision of a step; each ``(chain,)``."""

    leaf: Tensor
    join: Tensor
    direction: Tensor
    slice: Tensor


class NoUTurn:
    """The transition of the No-U-Turn sampler, one leapfrog a step.

    Args:
        potential_and_grad: Maps ``(chain, dim)`` to potentials ``(chain,)`` and gradients.
        max_tree_depth: A trajectory has at most ``2 ** max_tree_depth - 1`` leapfrogs.
        multinomial: Weight leaves by their density (Betancourt 2017), else equally within a slice
            (Hoffman & Gelman 2014).
        device: Where the chains live.
    """

    native_source = CPP / "sampler.cpp"
    native_name = "nuts"

    def __init__(
        self,
        potential_and_grad: PotentialAndGrad,
        max_tree_depth: int = 10,
        multinomial: bool = True,
        device: torch.device | None = None,
    ) -> None:
        self.potential_and_grad = potential_and_grad
        self.max_tree_depth = max_tree_depth
        self.multinomial = multinomial
        self.native_settings: dict[str, float] = {
            "max_tree_depth": max_tree_depth,
            "multinomial": multinomial,
        }
        self.schedule: Schedule = schedule(max_tree_depth, device)

    def start(self, draw: PhasePoint, metric: Metric, noise: Noise) -> Trajectory:
        """Return trajectories of one point each, with fresh momenta."""
        point, draw = refresh_momentum(draw, metric, noise)
        log_uniforms = LogUniforms(*noise.log_uniform.unbind(-1))
        zero = torch.zeros_like(draw.potential)
        return Trajectory(
            edge=point,
            direction=torch.where(_heads(log_uniforms.direction), 1.0, -1.0).to(zero.dtype),
            initial_energy=draw.energy,
            log_slice=log_uniforms.slice,
            tree=seed_tree(point, draw),
            subtree=no_subtree(draw, self.max_tree_depth),
            stats=TrajectoryStats(zero, torch.zeros_like(zero, dtype=torch.long)),
        )

    def restart(self, state: Trajectory, metric: Metric, noise: Noise) -> Trajectory:
        """Return the state with every chain at the start of a trajectory from its last draw."""
        everywhere = torch.ones_like(state.direction, dtype=torch.bool)
        return _next_subtree(self._set_out(state, metric, noise), everywhere)

    def step(self, state: Trajectory, tuning: Tuning, noise: Noise) -> tuple[Trajectory, Outcome]:
        """Return the state one leapfrog later, and the outcome of the trajectories that ended."""
        log_uniforms = LogUniforms(*noise.log_uniform.unbind(-1))
        metric = tuning.metric
        edge, leaf = self._leapfrog(state, tuning)
        error = energy_error(leaf.energy, state.initial_energy)
        diverging = error > MAX_ENERGY_ERROR
        log_weight = self._log_weight(error, state.log_slice)

        subtree, turning = grow(
            state.subtree, leaf, edge.momentum, log_weight, log_uniforms.leaf, metric, self.schedule
        )
        pause_iterations = turning | diverging
        joins = (subtree.size >> state.tree.depth > 0) & ~pause_iterations
        tree, turning = join(state.tree, subtree, edge.momentum, log_uniforms.join, joins, metric)
        finished = pause_iterations | (joins & (turning | (tree.depth >= self.max_tree_depth)))

        stats = TrajectoryStats(
            state.stats.accept_sum + torch.exp(-error.clamp(min=0.0)), state.stats.num_steps + 1
        )
        state = state._replace(edge=edge, tree=tree, subtree=subtree, stats=stats)
        outcome = _outcome(state, finished, diverging)
        subtree_ends = joins | pause_iterations
        state = _turn_round(state, subtree_ends & _heads(log_uniforms.direction))
        state = select(finished, self._set_out(state, metric, noise), state)
        return _next_subtree(state, subtree_ends), outcome

    def _leapfrog(self, state: Trajectory, tuning: Tuning) -> tuple[Point, PhasePoint]:
        step = tuning.step_size * state.direction
        edge, potential = leapfrog(self.potential_and_grad, tuning.metric, state.edge, step)
        energy = potential + kinetic_energy(tuning.metric, edge.momentum)
        return edge, PhasePoint(edge.position, edge.gradient, potential, energy)

    def _log_weight(self, error: Tensor, log_slice: Tensor) -> Tensor:
        if self.multinomial:
            return -error
        return torch.zeros_like(error).masked_fill(log_slice > -error, -torch.inf)

    def _set_out(self, state: Trajectory, metric: Metric, noise: Noise) -> Trajectory:
        """Begin a new trajectory at the proposal; the subtree is emptied by `_next_subtree`."""
        point, draw = refresh_momentum(state.tree.proposal, metric, noise)
        return state._replace(
            edge=point,
            initial_energy=draw.energy,
            log_slice=LogUniforms(*noise.log_uniform.unbind(-1)).slice,
            tree=seed_tree(point, draw),
            stats=TrajectoryStats(*map(torch.zeros_like, state.stats)),
        )


def _heads(log_coin: Tensor) -> Tensor:
    return log_coin < math.log(0.5)


def _outcome(state: Trajectory, finished: Tensor, diverging: Tensor) -> Outcome:
    stats = state.stats
    accept_prob = stats.accept_sum / stats.num_steps
    draw, depth = state.tree.proposal, state.tree.depth
    end = state.edge.position
    return Outcome(finished, draw, accept_prob, stats.num_steps, depth, diverging, end)


def _turn_round(state: Trajectory, turns: Tensor) -> Trajectory:
    """Let the tree grow from its other end where `turns` holds."""
    near, far = state.edge, state.tree.far
    return state._replace(
        edge=select(turns, far, near),
        direction=torch.where(turns, -state.direction, state.direction),
        tree=state.tree._replace(far=select(turns, near, far)),
    )


def _next_subtree(state: Trajectory, begins: Tensor) -> Trajectory:
    """Start a new subtree at the edge where `begins` holds."""
    near = select(begins, state.edge.momentum, state.tree.near)
    return state._replace(
        tree=state.tree._replace(near=near), subtree=begin_subtree(state.subtree, begins)
    )
