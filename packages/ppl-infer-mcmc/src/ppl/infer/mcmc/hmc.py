"""Hamiltonian Monte Carlo with trajectories of fixed length (Neal 2011)."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform
from torch.utils._pytree import tree_map

from ppl.engine.replay import Replay
from ppl.errors import ArgumentError, ArgumentTypeError, NotRunError, ShapeError, warn
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.layout import Layout
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.adaptation.block_mass import BlockMassMatrix
from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.arguments import names_unknown_arguments
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.execution import CHAINS_TO_POOL, choose_potential, choose_stride
from ppl.infer.mcmc.chains.free_chains import FreeChain
from ppl.infer.mcmc.chains.native import NativeStride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.chains.single_chain import SingleChain
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.portable import refuse_left_out
from ppl.infer.mcmc.target.blocks import (
    FullMass,
    InverseMass,
    Names,
    block_mask,
    blocks_of,
    check_blocks,
    inverse_mass,
    split_blocks,
)
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params, PotentialAndGrad, PotentialFn
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.hmc_transition import ROUNDING, FixedLength
from ppl.infer.mcmc.transition.machine import Machine, Tuning
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.poutine.program_errors import require_instance, require_program
from ppl.validation import validation_enabled


@names_unknown_arguments
class HMC(MCMCKernel):
    """Hamiltonian Monte Carlo with trajectories of fixed length.

    Adapts step size and mass matrix during warm-up.  The numbers of a position, hence the rows of
    the mass matrix, are ordered by the names of the sites.

    Args:
        model: The model; or
        potential_fn: the potential energy (negative log density, nats) of a dict of unconstrained
            values by site, shape ``()``; needs ``initial_params``.
        step_size: The step size of the leapfrog, perhaps ``(chain,)``; where adaptation starts.
            None stands for 1.
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
        jit_compile: Compile the potential, however short the run.  By default a run of 500 or more
            transitions a chain compiles it where a C++ compiler is found (setting
            ``mcmc_execution``: "auto", "eager", "graph" or "inductor").
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
        ArgumentError: If not exactly one of `model` and `potential_fn` is given, or a number is out
            of range.
        SiteError: If a site is in several blocks.

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
        step_size: float | Tensor | None = 1,
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
        self._check_program(model, potential_fn)
        if not isinstance(full_mass, bool):
            check_blocks("full_mass", full_mass)
        if max_plate_nesting is not None:
            arguments.whole_number("max_plate_nesting", max_plate_nesting, 0)
        target_accept_prob = arguments.between("target_accept_prob", target_accept_prob, 0.0, 1.0)
        self.model = model
        self.potential_fn = potential_fn
        self.jit_compile: bool = arguments.flag("jit_compile", jit_compile)
        self.transforms: Mapping[str, Transform] | None = arguments.optional_mapping(
            "transforms", transforms, "transforms"
        )
        self.max_plate_nesting = max_plate_nesting
        self.init_strategy: Strategy = arguments.function("init_strategy", init_strategy)
        self._step_size = arguments.step_size("step_size", step_size)
        self.trajectory_length: float = _trajectory_length(
            self._step_size, trajectory_length, num_steps
        )
        self._inverse_mass: InverseMass | MassMatrix | None = _checked_mass(inverse_mass_matrix)
        self._full_mass = full_mass
        self._warmup = Warmup(
            0,
            target_accept_prob,
            arguments.flag("adapt_step_size", adapt_step_size),
            arguments.flag("adapt_mass_matrix", adapt_mass_matrix),
            bool(full_mass),
            _step_bounds(min_stepsize, max_stepsize),
        )
        self._given_params: Params | None = None
        self._layout: Layout | None = None
        self._chains: list[Chains] = []  # of a run that is under way
        self._single_chain: SingleChain | None = None
        self._learnt: Tuning | None = None  # of chains that are gone

    def _check_program(self, model: Any, potential_fn: Any) -> None:
        if (model is None) == (potential_fn is None):
            raise ArgumentError(
                f"{type(self).__name__} needs either a model or a potential_fn: the model itself, "
                "not what it returns"
            )
        if potential_fn is None:
            require_program("model", model)
            require_instance("model", model)
        else:
            arguments.function("potential_fn", potential_fn)

    def __repr__(self) -> str:
        if self._tuning is None:
            return describe(self, self._options(), "no run yet")
        step_size = float(self._tuning.step_size.mean())
        return describe(self, self._options(), f"adapted, with step size {step_size:.3g}")

    def _options(self) -> dict[str, Any]:
        warmup = self._warmup
        return {
            "model": self.model,
            "potential_fn": self.potential_fn,
            "step_size": self._step_size,
            "trajectory_length": self.trajectory_length,
            "adapt_step_size": warmup.adapt_step_size,
            "adapt_mass_matrix": warmup.adapt_mass_matrix,
            "full_mass": self._full_mass,
            "transforms": self.transforms,
            "max_plate_nesting": self.max_plate_nesting,
            "jit_compile": self.jit_compile,
            "target_accept_prob": warmup.target_accept_prob,
            "init_strategy": self.init_strategy,
            "inverse_mass_matrix": self._inverse_mass,
        }

    # copies and pickles have the tuning, and no chains

    _of_a_run = ("_chains", "_single_chain")
    _own = ("_learnt", "_layout", "_warmup")

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_learnt": self._tuning}

    @property
    def _tuning(self) -> Tuning | None:
        """What is in use, or was when the last run ended."""
        if not self._chains:
            return self._learnt
        tunings = [chains.state.tuning for chains in self._chains]
        return tree_map(lambda *parts: torch.cat(parts), *tunings)  # type: ignore[no-any-return]

    # many chains at once

    def target(self, num_chains: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Target:
        """Return what is to be sampled, and where `num_chains` chains start."""
        refuse_left_out(self)
        self._chains = []
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
        some: slice = slice(None),
        replay: Replay | None = None,
    ) -> Chains:
        """Return some of the chains that start at `position`, shape ``(chain, dim)``.

        Args:
            potential_and_grad: That of so many chains.
            position: Where all chains start.
            seeds: A seed for each of them.
            warmup_steps: Transitions of warm-up.
            num_samples: Draws of each chain after it.
            some: Which chains.
            replay: The potential in C++, with which a single chain runs free.
        """
        machine = self._machine(potential_and_grad, position.device)
        sampler = Sampler(machine, self._warmup_of(warmup_steps, position, some), num_samples)
        step_size = _step_size_of(self._step_size, position)[some]
        position, seeds = position[some], seeds[some]
        stride = choose_stride(sampler, position)
        if replay is not None and isinstance(stride, NativeStride):
            chains: Chains = FreeChain(sampler, position, step_size, seeds, stride, replay)
        else:
            chains = Chains(sampler, position, step_size, seeds, stride)
        self._chains.append(chains)
        return chains

    def _warmup_of(self, num_steps: int, position: Tensor, some: slice) -> Warmup:
        """Return the warm-up of some chains, with the mass matrix that it begins with."""
        layout, given = self._layout, self._inverse_mass
        assert layout is not None
        if isinstance(given, MassMatrix):
            given = self._configured(given, layout).inverse_mass_matrix
        if given is not None:
            given = inverse_mass(given, layout, position, self._full_mass)[some]
        mask = block_mask(layout, self._full_mass)
        return replace(
            self._warmup,
            num_steps=num_steps,
            cross_chain_adaptation=len(position[some]) >= CHAINS_TO_POOL,
            block_mask=None if mask is None else mask.to(position.device),
            inverse_mass=given,
        )

    def _configured(self, adapter: MassMatrix, layout: Layout) -> MassMatrix:
        """Return an adapter with the blocks of the kernel, a copy if it had none."""
        if any(adapter.mass_matrix_size):
            return adapter
        adapter, sizes = copy.deepcopy(adapter), dict(zip(layout.names, layout.sizes, strict=True))
        blocks, rest = blocks_of(layout, self._full_mass)
        shapes: dict[Names, tuple[int, ...]] = {}
        for names in (*blocks, *([rest] if rest else [])):
            number = sum(sizes[name] for name in names)
            shapes[names] = (number,) if names == rest else (number, number)
        adapter.configure(shapes)
        return adapter

    def _machine(self, potential_and_grad: PotentialAndGrad, device: torch.device) -> Machine:
        return FixedLength(potential_and_grad, self.trajectory_length)

    # one chain, draw by draw

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        target = self.target(1, args, kwargs)
        with validation_enabled(False):
            potential_and_grad = choose_potential(
                target.potential, target.start, warmup_steps, self.jit_compile
            )
            chains = self.start(potential_and_grad, target.start, draw_seeds(1), warmup_steps)
        self._single_chain = SingleChain(target, chains)

    @opaque
    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`; both are unconstrained values by site."""
        return self._running().next(params)

    @opaque
    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return constrained values of unconstrained draws, both ``(chain, draw, *site)``."""
        target = self._running().target
        return target.constrain(target.layout.pack(draws, batch_dim=2))

    def fields(self) -> dict[str, float]:
        """Return what is known of the last transition, see `step_records.FIELDS`."""
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
        self._learnt, self._chains, self._single_chain = self._tuning, [], None

    def clear_cache(self) -> None:
        """Do nothing: potentials and gradients are part of the state, not of a cache."""

    def _running(self) -> SingleChain:
        if self._single_chain is None:
            raise NotRunError(
                f"call {type(self).__name__}.setup(warmup_steps, ...) before sampling"
            )
        return self._single_chain

    @property
    def initial_params(self) -> Params:
        """Unconstrained values that the chain starts from, by site."""
        if self._single_chain is not None:
            return self._single_chain.target.layout.unpack(self._single_chain.target.start[0])
        return self._given_params or {}

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given_params = arguments.start_values(params) or None

    @property
    def step_size(self) -> float | Tensor:
        """The step size in use: a number, or ``(chain,)`` where several chains have run.

        The next run begins with what is set, and with the mass matrix that is in use.
        """
        if self._tuning is None:
            return self._step_size
        step_size = self._tuning.step_size
        return float(step_size) if len(step_size) == 1 else step_size

    @step_size.setter
    def step_size(self, step_size: float | Tensor | None) -> None:
        step_size = arguments.step_size("step_size", step_size)
        self._keep_tuning()
        self._step_size = step_size
        self._retune()

    @property
    def num_steps(self) -> int:
        """The leapfrogs of a trajectory at the (mean) step size in use."""
        step_size = float(torch.as_tensor(self.step_size).mean())
        return max(1, int(self.trajectory_length / step_size + ROUNDING))

    @property
    def inverse_mass_matrix(self) -> dict[Names, Tensor]:
        """The inverse mass in use by groups of sites: blocks ``(n, n)`` and a diagonal ``(n,)``.

        A group is known by the names of its sites: there is one for each block of `full_mass`, and
        one, diagonal, for all other sites, sorted by name.  Its numbers are those of its
        unconstrained sites, one after another.  Where several chains have run, each group has a
        leading dimension for them.

        The next run begins with what is set, in this form or as one tensor as the argument of the
        same name, and with the step size that is in use; a chain that was set up goes on with it.
        """
        if self._tuning is None and isinstance(self._inverse_mass, Mapping):
            return dict(self._inverse_mass)
        if self._tuning is None and isinstance(self._inverse_mass, MassMatrix):
            return self._inverse_mass.inverse_mass_matrix
        if self._layout is None:
            raise NotRunError(
                "there are no groups of sites before the first run; flat_inverse_mass_matrix is a "
                "tensor that was given"
            )
        return split_blocks(self.flat_inverse_mass_matrix, self._layout, self._full_mass)

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, inverse: InverseMass | None) -> None:
        self._use_mass(_checked_mass(inverse))

    @property
    def flat_inverse_mass_matrix(self) -> Tensor:
        """The inverse mass in use as one tensor, ``(dim,)`` or ``(dim, dim)``.

        Rows and columns are the numbers of the unconstrained sites, sorted by the sites' names.
        Where several chains have run, there is a leading dimension for them.
        """
        if self._tuning is not None:
            inverse = self._tuning.metric.inverse
            return inverse[0] if len(inverse) == 1 else inverse
        if isinstance(self._inverse_mass, Tensor):
            return self._inverse_mass
        raise NotRunError("there is no mass matrix before the first run")

    @property
    def mass_matrix_adapter(self) -> MassMatrix:
        """The mass matrix in use by blocks of sites; of several chains the mean.

        The next run begins with the inverse mass of what is set, be it this attribute or its
        `inverse_mass_matrix`, with a multiple of the unit matrix if it has not been configured yet;
        warm-up learns from the covariance of its draws.
        """
        if self._tuning is None and isinstance(self._inverse_mass, MassMatrix):
            return self._inverse_mass
        adapter, inverse = _MassInUse(), self.flat_inverse_mass_matrix
        if self._layout is None:
            raise NotRunError("there is no mass matrix by sites before the first run")
        if inverse.dim() > 1 + bool(self._full_mass):
            inverse = inverse.mean(0)
        adapter.inverse_mass_matrix = split_blocks(inverse, self._layout, self._full_mass)
        adapter.use = self._use_mass
        return adapter

    @mass_matrix_adapter.setter
    def mass_matrix_adapter(self, adapter: MassMatrix) -> None:
        if not isinstance(adapter, MassMatrix):
            raise ArgumentTypeError(
                f"mass_matrix_adapter must be a mass matrix such as ArrowheadMassMatrix(), got "
                f"{adapter!r}"
            )
        if not isinstance(adapter, BlockMassMatrix) and self._warmup.adapt_mass_matrix:
            warn(
                f"the next run begins with the mass of {type(adapter).__name__}, but its warm-up "
                "learns the covariance of draws by the blocks of full_mass"
            )
        self._use_mass(adapter)

    def _use_mass(self, inverse: InverseMass | MassMatrix | None) -> None:
        self._keep_tuning()
        self._inverse_mass = inverse
        self._retune()

    def _keep_tuning(self) -> None:
        """Let the next run begin with the tuning of the last one."""
        if self._tuning is not None:
            self._step_size, self._inverse_mass = self.step_size, self.flat_inverse_mass_matrix
            self._chains, self._learnt = [], None

    def _retune(self) -> None:
        """Let a chain that was set up go on with the tuning that was set."""
        if self._single_chain is None:
            return
        chains = self._single_chain.chains
        self._chains = [chains]
        draw = chains.state.machine.draw
        warmup = self._warmup_of(chains.sampler.warmup.num_steps, draw.position, slice(None))
        step_size = _step_size_of(self._step_size, draw.position)
        chains.retune(Tuning(step_size.clone(), warmup.first_metric(draw)))


class _MassInUse(BlockMassMatrix):
    """The mass matrix of a kernel, which hears of what is put in its place."""

    use: Callable[[MassMatrix], None] | None = None

    def _put(self, inverse: Mapping[Names, Tensor]) -> None:
        super()._put(inverse)
        if self.use is not None:
            self.use(self)


def _checked_mass(inverse: Any) -> InverseMass | None:
    if inverse is None or isinstance(inverse, (Tensor, Mapping)):
        return inverse
    raise ArgumentTypeError(
        f"inverse_mass_matrix must be a tensor, or a dict of tensors by groups of sites, got "
        f"{inverse!r}"
    )


def _step_bounds(smallest: Any, largest: Any) -> tuple[float, float]:
    smallest = arguments.between("min_stepsize", smallest, 0.0, math.inf)
    largest = arguments.between("max_stepsize", largest, 0.0, math.inf)
    if smallest > largest:
        raise ArgumentError(f"min_stepsize={smallest:g} is larger than max_stepsize={largest:g}")
    return smallest, largest


def _trajectory_length(
    step_size: float | Tensor, length: float | None, num_steps: int | None
) -> float:
    if length is not None:
        return arguments.between("trajectory_length", length, 0.0, math.inf)
    if num_steps is None:
        return 2 * math.pi
    num_steps = arguments.whole_number("num_steps", num_steps, 1)
    return num_steps * float(torch.as_tensor(step_size, dtype=torch.float64).mean())


def _step_size_of(step_size: float | Tensor, position: Tensor) -> Tensor:
    steps, num_chains = torch.as_tensor(step_size).to(position), len(position)
    if tuple(steps.shape) not in ((), (num_chains,)):
        raise ShapeError(
            f"step_size has shape {tuple(steps.shape)}, but {num_chains} chains run together: give "
            f"a number, or one for each of them, shape {(num_chains,)}"
        )
    return steps.expand(num_chains)
