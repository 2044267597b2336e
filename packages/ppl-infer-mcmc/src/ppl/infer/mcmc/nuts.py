"""The No-U-Turn sampler as a state machine (Hoffman & Gelman 2014; Betancourt 2017).

Every chain is somewhere in its own trajectory.  A step adds one leaf to each chain's subtree; where
that completes the subtree, it is joined to the tree; where the tree turns, diverges or is deep
enough, its proposal becomes the draw and a new trajectory starts.  No chain waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.blocks import FullMass, InverseMass
from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.integrator import Point, PotentialAndGrad, leapfrog
from ppl.infer.mcmc.machine import (
    MAX_ENERGY_ERROR,
    Machine,
    Noise,
    Outcome,
    PhasePoint,
    Tuning,
    energy_error,
    refresh_momentum,
)
from ppl.infer.mcmc.masking import select
from ppl.infer.mcmc.metric import Metric, kinetic_energy
from ppl.infer.mcmc.potential import PotentialFn
from ppl.infer.mcmc.tree import (
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


@arguments.names_unknown_arguments
class NUTS(HMC):
    """The No-U-Turn sampler: Hamiltonian Monte Carlo that chooses the length of its trajectories.

    A trajectory doubles, forward or backward in time, until it starts to return (Hoffman & Gelman
    2014); the draw is chosen from its points by their density (Betancourt 2017).  Step size and
    mass matrix adapt during warm-up.  All chains of a run advance together, each at its own pace.

    Args:
        model: The model; or
        potential_fn: the potential energy (negative log density, nats) of a dict of unconstrained
            values by site, shape ``()``; needs ``initial_params``.
        step_size: The step size of the leapfrog, perhaps ``(chain,)``; where adaptation starts.
            None stands for 1.
        adapt_step_size: Whether warm-up adapts the step size (dual averaging).
        adapt_mass_matrix: Whether warm-up adapts the mass matrix.
        full_mass: Whether the mass matrix is dense instead of diagonal; or the blocks of sites in
            which it is, such as ``[("a", "b"), ("c",)]``: other sites have a diagonal one.
        use_multinomial_sampling: Choose the draw by density, else by slice sampling as in the
            original paper.
        transforms: Bijections from the support of a site to unconstrained space, for the sites that
            shall not use the registered one.
        max_plate_nesting: The largest number of nested plates, if the model has discrete latent
            sites, which are summed out exactly; found by running the model once if not given.
        jit_compile: Compile the potential, however short the run.  By default a run of 500 or more
            transitions a chain compiles it where a C++ compiler is found (setting
            ``mcmc_execution``: "auto", "eager", "graph" or "inductor").
        jit_options: Accepted, not used.
        ignore_jit_warnings: Accepted, not used.
        target_accept_prob: What the step size adaptation aims at; more is slower and more robust.
        max_tree_depth: A trajectory has at most ``2 ** max_tree_depth - 1`` leapfrogs.
        init_strategy: Chooses the starting points.
        inverse_mass_matrix: The inverse mass to begin with: ``(dim,)`` or, for a dense one,
            ``(dim, dim)``, with a leading dimension if it differs between chains; or by blocks of
            sites, such as ``{("a", "b"): matrix}``, where other sites have unit mass.

    Raises:
        ArgumentError: If not exactly one of `model` and `potential_fn` is given, or a number is out
            of range.
        SiteError: If a site is in several blocks.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> mcmc = MCMC(
        ...     NUTS(lambda: sample("x", dist.Normal(3.0, 1.0))),
        ...     num_samples=500, num_chains=4, disable_progbar=True,
        ... )
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["x"].mean() - 3.0) < 0.3)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: float | Tensor | None = 1,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: FullMass = False,
        use_multinomial_sampling: bool = True,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        jit_options: Mapping[str, Any] | None = None,
        ignore_jit_warnings: bool = False,
        target_accept_prob: float = 0.8,
        max_tree_depth: int = 10,
        init_strategy: Strategy = init_to_uniform,
        *,
        inverse_mass_matrix: InverseMass | None = None,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            full_mass=full_mass,
            transforms=transforms,
            max_plate_nesting=max_plate_nesting,
            jit_compile=jit_compile,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
            inverse_mass_matrix=inverse_mass_matrix,
        )
        self.max_tree_depth: int = arguments.whole_number("max_tree_depth", max_tree_depth, 1)
        self.use_multinomial_sampling: bool = arguments.flag(
            "use_multinomial_sampling", use_multinomial_sampling
        )

    def _options(self) -> dict[str, Any]:
        own = ("max_tree_depth", "use_multinomial_sampling")
        return super()._options() | {name: getattr(self, name) for name in own}

    def _machine(self, potential_and_grad: PotentialAndGrad, device: torch.device) -> Machine:
        return NoUTurn(
            potential_and_grad, self.max_tree_depth, self.use_multinomial_sampling, device
        )
