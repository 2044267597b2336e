"""Hamiltonian Monte Carlo with trajectories of fixed length (Neal 2011)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.errors import ShapeError, SiteError
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.mcmc.adaptation.block_mass import BlockMassMatrix
from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.blocks import (
    FullMass,
    InverseMass,
    check_blocks,
    coupled,
    inverse_mass,
    split_blocks,
)
from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.divergences import Divergences
from ppl.infer.mcmc.fixed_length import ROUNDING, FixedLength
from ppl.infer.mcmc.integrator import PotentialAndGrad
from ppl.infer.mcmc.layout import Layout
from ppl.infer.mcmc.machine import Machine
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.noise import draw_seeds
from ppl.infer.mcmc.potential import Params, PotentialFn
from ppl.infer.mcmc.sampler import Sampler
from ppl.infer.mcmc.target import Target
from ppl.infer.mcmc.tiers import choose_potential, choose_stride
from ppl.infer.mcmc.walk import Walk
from ppl.poutine.program_errors import require_program
from ppl.validation import validation_enabled

MANY = 16  # chains: so many learn from each other during warm-up


class HMC(MCMCKernel):
    """Hamiltonian Monte Carlo with trajectories of fixed length.

    Adapts step size and mass matrix during warm-up.  The numbers of a position, hence the rows of
    the mass matrix, are ordered by the names of the sites.

    Args:
        model: The model; or
        potential_fn: the potential energy (negative log density, nats) of a dict of unconstrained
            values by site, shape ``()``; needs ``initial_params``.
        step_size: The step size of the leapfrog, perhaps ``(chain,)``; where adaptation starts.
        trajectory_length: The time of a trajectory; default ``step_size * num_steps``, or ``2 pi``.
        num_steps: The leapfrogs of a trajectory at the initial step size.  With another step size
            there are ``max(1, int(trajectory_length / step_size))``.
        adapt_step_size: Whether warm-up adapts the step size (dual averaging).
        adapt_mass_matrix: Whether warm-up adapts the mass matrix.
        full_mass: Whether the mass matrix is dense instead of diagonal; or the blocks of sites in
            which it is, such as ``[("a", "b"), ("c",)]``: other sites have a diagonal one.
        transforms: Bijections from the support of a site to unconstrained space, for the sites that
            shall not use the registered one.
        max_plate_nesting: The largest number of nested plates, if the model has discrete latent
            sites, which are summed out exactly; found by running the model once if not given.
        jit_compile: Compile the whole sampler, however short the run.  By default a run of 1000 or
            more transitions a chain is compiled where a C++ compiler is found (setting
            ``mcmc_tier``: "auto", "graph" or "inductor").
        jit_options: Accepted, not used.
        ignore_jit_warnings: Accepted, not used.
        target_accept_prob: What the step size adaptation aims at; more is slower and more robust.
        init_strategy: Chooses the starting points.
        min_stepsize: The smallest step size that adaptation may choose.
        max_stepsize: The largest one.
        inverse_mass_matrix: The inverse mass to begin with: ``(dim,)`` or, for a dense one,
            ``(dim, dim)``, with a leading dimension if it differs between chains; or by blocks of
            sites, such as ``{("a", "b"): matrix}``, where other sites have unit mass.

    Raises:
        SiteError: If not exactly one of `model` and `potential_fn` is given, or a site is in
            several blocks.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC
        >>> from ppl.primitives import sample
        >>> mcmc = MCMC(
        ...     HMC(lambda: sample("x", dist.Normal(3.0, 1.0)), step_size=0.5, num_steps=4),
        ...     num_samples=200, disable_progbar=True,
        ... )
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["x"].mean() - 3.0) < 0.5)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: float | Tensor = 1,
        trajectory_length: float | None = None,
        num_steps: int | None = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: FullMass = False,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        jit_options: Mapping[str, Any] | None = None,
        ignore_jit_warnings: bool = False,
        target_accept_prob: float = 0.8,
        init_strategy: Strategy = init_to_uniform,
        *,
        min_stepsize: float = 1e-10,
        max_stepsize: float = 1e10,
        inverse_mass_matrix: InverseMass | None = None,
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise SiteError(
                f"{type(self).__name__} needs either a model or a potential_fn: the model itself, "
                "not what it returns"
            )
        if potential_fn is None:
            require_program("model", model)
        if not 0 < target_accept_prob < 1:
            raise SiteError(f"target_accept_prob must lie in (0, 1), got {target_accept_prob}")
        if not isinstance(full_mass, bool):
            check_blocks("full_mass", full_mass)
        self.model, self.potential_fn = model, potential_fn
        self.jit_compile = jit_compile
        self.transforms = transforms
        self.max_plate_nesting = max_plate_nesting
        self.init_strategy = init_strategy
        self.trajectory_length = _trajectory_length(step_size, trajectory_length, num_steps)
        self._step_size, self._inverse_mass = step_size, inverse_mass_matrix
        self._full_mass = full_mass
        self._warmup = Warmup(
            0,
            target_accept_prob,
            adapt_step_size,
            adapt_mass_matrix,
            bool(full_mass),
            (min_stepsize, max_stepsize),
        )
        self._given_params: Params | None = None
        self._layout: Layout | None = None
        self._chains: Chains | None = None
        self._walk: Walk | None = None

    # many chains at once

    def target(self, num_chains: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Target:
        """Return what is to be sampled, and where `num_chains` chains start."""
        given = self._given_params
        if self.potential_fn is not None:
            target = Target.of_potential(self.potential_fn, self.transforms, num_chains, given)
        else:
            assert self.model is not None
            target = Target.of_model(
                self.model,
                args,
                kwargs,
                self.transforms,
                self.init_strategy,
                num_chains,
                given,
                self.max_plate_nesting,
            )
        self._layout = target.layout
        return target

    def start(
        self,
        potential_and_grad: PotentialAndGrad,
        position: Tensor,
        seeds: Sequence[int],
        warmup_steps: int,
        num_samples: float = math.inf,
    ) -> Chains:
        """Return chains that start at `position`, shape ``(chain, dim)``."""
        machine = self._machine(potential_and_grad, position.device)
        sampler = Sampler(machine, self._warmup_of(warmup_steps, position), num_samples)
        stride = choose_stride(sampler, position)
        step_size = _step_size_of(self._step_size, position)
        self._chains = Chains(sampler, position, step_size, seeds, stride)
        return self._chains

    def _warmup_of(self, num_steps: int, position: Tensor) -> Warmup:
        """Return the warm-up of chains at `position`, with the mass matrix that it begins with."""
        layout, given = self._layout, self._inverse_mass
        assert layout is not None
        if given is not None:
            given = inverse_mass(given, layout, position, self._warmup.full_mass)
        mask = coupled(layout, self._full_mass)
        return replace(
            self._warmup,
            num_steps=num_steps,
            pooled=len(position) >= MANY,
            coupled=None if mask is None else mask.to(position.device),
            inverse_mass=given,
        )

    def _machine(self, potential_and_grad: PotentialAndGrad, device: torch.device) -> Machine:
        return FixedLength(potential_and_grad, self.trajectory_length)

    # one chain, draw by draw

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        target = self.target(1, args, kwargs)
        with validation_enabled(False):
            potential_and_grad = choose_potential(
                target.potential, target.start, warmup_steps, self.jit_compile
            )
            chains = self.start(potential_and_grad, target.start, draw_seeds(1), warmup_steps)
        self._walk = Walk(target, chains)

    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`; both are unconstrained values by site."""
        return self._running().next(params)

    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return constrained values of unconstrained draws, both ``(chain, draw, *site)``."""
        target = self._running().target
        return target.constrain(target.layout.pack(draws, batch_dim=2))

    def fields(self) -> dict[str, float]:
        """Return what is known of the last transition: `ppl.infer.mcmc.recording.FIELDS`."""
        return self._running().chains.last_fields()

    def logging(self) -> Mapping[str, str]:
        """Return step size and acceptance probability, formatted."""
        fields = self.fields()
        step_size, accept_prob = fields["step_size"], fields["accept_prob"]
        return {"step size": f"{step_size:.2e}", "acc. prob": f"{accept_prob:.3f}"}

    def divergences(self) -> Divergences:
        """Return the transitions after warm-up that diverged, and where."""
        return self._running().divergences

    def faults(self) -> Counter[str]:
        """Return why transitions ended at points without density, and how often."""
        return self._running().target.faults_at(self.divergences().position)

    def diagnostics(self) -> dict[str, Any]:
        """Return the indices of divergent draws and the mean acceptance probability."""
        return self._running().diagnostics()

    def cleanup(self) -> None:
        """Forget the chain; what was adapted can still be read."""
        self._walk = None

    def clear_cache(self) -> None:
        """Do nothing: potentials and gradients are part of the state, not of a cache."""

    def _running(self) -> Walk:
        if self._walk is None:
            raise SiteError(f"call {type(self).__name__}.setup(warmup_steps, ...) before sampling")
        return self._walk

    @property
    def initial_params(self) -> Params:
        """Unconstrained values that the chain starts from, by site."""
        if self._walk is not None:
            return self._walk.target.layout.unpack(self._walk.target.start[0])
        return self._given_params or {}

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given_params = params

    @property
    def step_size(self) -> float | Tensor:
        """The step size in use: a number, or ``(chain,)`` where several chains have run.

        The next run begins with what is set, and with the mass matrix that is in use.
        """
        if self._chains is None:
            return self._step_size
        step_size = self._chains.state.tuning.step_size
        return float(step_size) if len(step_size) == 1 else step_size

    @step_size.setter
    def step_size(self, step_size: float | Tensor) -> None:
        self._keep_tuning()
        self._step_size = step_size

    @property
    def num_steps(self) -> int:
        """The leapfrogs of a trajectory at the (mean) step size in use."""
        step_size = float(torch.as_tensor(self.step_size).mean())
        return max(1, int(self.trajectory_length / step_size + ROUNDING))

    @property
    def inverse_mass_matrix(self) -> Tensor:
        """The inverse mass in use, ``(dim,)`` or ``(dim, dim)``; of several chains a batch.

        Rows and columns are the numbers of the unconstrained sites, sorted by the sites' names.
        The next run begins with what is set (also by blocks of sites, as the argument of the same
        name), and with the step size that is in use.
        """
        if self._chains is not None:
            inverse = self._chains.state.tuning.metric.inverse
            return inverse[0] if len(inverse) == 1 else inverse
        if isinstance(self._inverse_mass, Tensor):
            return self._inverse_mass
        raise SiteError("there is no mass matrix before the first run")

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, inverse: InverseMass) -> None:
        self._keep_tuning()
        self._inverse_mass = inverse

    @property
    def mass_matrix_adapter(self) -> MassMatrix:
        """The mass matrix in use by blocks of sites, in a copy; of several chains the mean.

        The next run begins with the inverse mass of what is set; warm-up goes on learning from the
        covariance of its draws.
        """
        inverse, adapter = self.inverse_mass_matrix, BlockMassMatrix()
        if self._layout is None:
            raise SiteError("there is no mass matrix before the first run")
        adapter.inverse_mass_matrix = split_blocks(inverse, self._layout, self._full_mass)
        return adapter

    @mass_matrix_adapter.setter
    def mass_matrix_adapter(self, adapter: MassMatrix) -> None:
        if not any(adapter.mass_matrix_size):
            raise SiteError("mass_matrix_adapter has no sites: call its configure(...) first")
        self.inverse_mass_matrix = adapter.inverse_mass_matrix

    def _keep_tuning(self) -> None:
        """Let the next run begin with the tuning of the last one."""
        if self._chains is not None:
            self._step_size, self._inverse_mass = self.step_size, self.inverse_mass_matrix
            self._chains = None


def _trajectory_length(
    step_size: float | Tensor, length: float | None, num_steps: int | None
) -> float:
    if length is not None:
        return float(length)
    if num_steps is None:
        return 2 * math.pi
    return num_steps * float(torch.as_tensor(step_size, dtype=torch.float64).mean())


def _step_size_of(step_size: float | Tensor, position: Tensor) -> Tensor:
    steps = torch.as_tensor(step_size).to(position)
    num_chains = len(position)
    if tuple(steps.shape) not in ((), (num_chains,)):
        raise ShapeError(
            f"step_size has shape {tuple(steps.shape)}, but {num_chains} chains run together: give "
            f"a number, or one for each of them, shape {(num_chains,)}"
        )
    return steps
