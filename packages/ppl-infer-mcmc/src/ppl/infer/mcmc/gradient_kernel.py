"""Kernels whose transitions follow gradients, with a step size and a mass matrix."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.engine.replay import Replay
from ppl.errors import NotRunError
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.adaptation.adapt import Adapt, resolved
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.execution import choose_potential, choose_stride
from ppl.infer.mcmc.chains.free_chains import FreeChain
from ppl.infer.mcmc.chains.native import NativeStride
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.chains.single_chain import SingleChain
from ppl.infer.mcmc.chains.tuned_state import TuningOptions
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.inputs import SlotPotential
from ppl.infer.mcmc.portable import refuse_left_out
from ppl.infer.mcmc.target.blocks import FullMass, InverseMass, check_blocks
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params, PotentialFn
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.machine import Transition
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.infer.mcmc.tuned_kernel import TunedKernel, checked_mass
from ppl.validation import validation_enabled


class GradientKernel(TunedKernel):
    """A kernel of many chains whose transitions follow gradients.

    A subclass says what a transition is, cut into steps of one gradient each: :meth:`transition`.
    What is the same for all is here: the potential of a model, recorded or compiled; where chains
    start; the warm-up of step size and mass matrix; chains together, free of each other, one after
    another or draw by draw.  The arguments are those of :class:`~ppl.infer.mcmc.HMC`.

    Raises:
        ArgumentError: If not exactly one of `model` and `potential_fn` is given, or a number is out
            of range.
        SiteError: If a site is in several blocks.
    """

    option_names: ClassVar[tuple[str, ...]] = ()
    """Names of the options that a subclass adds, each an attribute."""
    has_native_twin: bool = False

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: float | Tensor | None = 1,
        *,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: FullMass = False,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        target_accept_prob: float = 0.8,
        init_strategy: Strategy = init_to_uniform,
        min_stepsize: float = 1e-10,
        max_stepsize: float = 1e10,
        inverse_mass_matrix: InverseMass | None = None,
        adapt: Adapt | None = None,
        cross_chain_adaptation: bool | None = None,
    ) -> None:
        arguments.one_program(type(self).__name__, model, potential_fn)
        if not isinstance(full_mass, bool):
            check_blocks("full_mass", full_mass)
        if cross_chain_adaptation is not None:
            arguments.flag("cross_chain_adaptation", cross_chain_adaptation)
        self.cross_chain_adaptation = cross_chain_adaptation
        self._given_form = {"adapt": adapt, "full_mass": full_mass}
        self.adapt: Adapt
        self.adapt, full_mass = resolved(adapt, full_mass)
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
        warmup = Warmup(
            0,
            target_accept_prob,
            arguments.flag("adapt_step_size", adapt_step_size),
            arguments.flag("adapt_mass_matrix", adapt_mass_matrix),
            bool(full_mass),
            arguments.step_bounds(min_stepsize, max_stepsize),
            adapt=self.adapt,
        )
        step_size = arguments.step_size("step_size", step_size)
        mass = checked_mass(inverse_mass_matrix)
        super().__init__(TuningOptions(step_size, mass, full_mass, warmup, cross_chain_adaptation))
        self._given_params: Params | None = None

    @abstractmethod
    def transition(self, potential_and_grad: PotentialAndGrad, device: torch.device) -> Transition:
        """Return the transition of chains with this potential, on this device.

        See :class:`~ppl.infer.mcmc.transition.Transition`.  It runs as tensors, unless it has a
        twin in C++.
        """

    def __repr__(self) -> str:
        tuning = self._tuned.tuning
        if tuning is None:
            return describe(self, self._options(), "no run yet")
        step_size = float(tuning.step_size.mean())
        return describe(self, self._options(), f"adapted, with step size {step_size:.3g}")

    def _options(self) -> dict[str, Any]:
        tuning = self._tuned.options
        return {
            "model": self.model,
            "potential_fn": self.potential_fn,
            "step_size": tuning.step_size,
            **{name: getattr(self, name) for name in self.option_names},
            "adapt_step_size": tuning.warmup.adapt_step_size,
            "adapt_mass_matrix": tuning.warmup.adapt_mass_matrix,
            **self._given_form,
            "cross_chain_adaptation": self.cross_chain_adaptation,
            "transforms": self.transforms,
            "max_plate_nesting": self.max_plate_nesting,
            "jit_compile": self.jit_compile,
            "target_accept_prob": tuning.warmup.target_accept_prob,
            "init_strategy": self.init_strategy,
            "inverse_mass_matrix": tuning.inverse_mass,
        }

    # many chains at once, see :class:`~ppl.infer.mcmc.BatchKernel`

    def target(self, num_chains: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Target:
        """Return what is to be sampled, and where `num_chains` chains start."""
        refuse_left_out(self)
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
        self._tuned.begin(target.layout)
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
        sampler = Sampler(
            self.transition(potential_and_grad, position.device),
            self._tuned.warmup_of(warmup_steps, position, some),
            num_samples,
        )
        step_size = self._tuned.steps_of(position)[some]
        position, seeds = position[some], seeds[some]
        stride = choose_stride(sampler, position)
        if replay is not None and isinstance(stride, NativeStride):
            chains: Chains = FreeChain(sampler, position, step_size, seeds, stride, replay)
        else:
            chains = Chains(sampler, position, step_size, seeds, stride)
        self._tuned.follow(chains)
        return chains

    # one chain, draw by draw

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        self.begin(self.target(1, args, kwargs), warmup_steps)

    def begin(self, target: Target, warmup_steps: int) -> None:
        """Prepare one chain that samples a target."""
        with validation_enabled(False):
            potential_and_grad = self._choose_potential(target, warmup_steps)
            chains = self.start(potential_and_grad, target.start, draw_seeds(1), warmup_steps)
        self._single_chain = SingleChain(target, chains)

    def _choose_potential(self, target: Target, warmup_steps: int) -> PotentialAndGrad:
        if self.changing is not None:
            return SlotPotential(target.potential, target.start, self.changing)
        return choose_potential(target.potential, target.start, warmup_steps, self.jit_compile)

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
        self._tuned.end()
        self._single_chain = None

    def clear_cache(self) -> None:
        """Compute potential and gradient anew where the chain is: the density may have changed."""
        if self._single_chain is not None:
            with validation_enabled(False):
                chains = self._single_chain.chains
                chains.move(chains.state.machine.draw.position)

    def running_chain(self) -> Chains:
        """Return the chain that was set up."""
        return self._running().chains

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
