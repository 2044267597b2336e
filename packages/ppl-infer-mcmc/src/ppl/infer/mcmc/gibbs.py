"""Gibbs sampling: kernels take turns, each moves some sites given the others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import ppl.poutine as poutine
from ppl.errors import NotFiniteError, NotRunError
from ppl.infer.initialization import InitMessenger
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.gibbs_blocks import check_all, check_once, checked_block, model_of, name_of
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.target.initial_points import MAX_TRIES
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import ModelPotential, Params
from ppl.poutine.program_errors import require_instance, require_program
from ppl.poutine.util import site_is_subsample
from ppl.validation import unchecked, validation_enabled

Model = Callable[..., Any]
Block = tuple[MCMCKernel | Callable[[Model], MCMCKernel], Sequence[str]]
DRAWS_AT_ONCE = 256


@arguments.names_unknown_arguments
class Gibbs(MCMCKernel):
    """Kernels that take turns: each moves the sites of its block given those of the others.

    One draw is a turn of each block. A kernel sees the model conditioned on the sites of the other
    blocks, adapts in warm-up as it would alone, and goes on from where it is with the density that
    these sites make. What is kept invariant is the posterior of all sites together. The values that
    change are inputs of the recorded potential, so nothing is recorded anew.

    Chains run one after another, or with ``chain_method="parallel"`` in processes.

    Args:
        blocks: Pairs of a kernel and the names of its sites; each latent site is in one block. A
            kernel is an instance, such as ``NUTS(model)``, which is copied, or what makes one of a
            model: a class, or a function such as ``lambda model: NUTS(model, max_tree_depth=5)``.
        model: The model; by default that of the first kernel that is an instance.

    Raises:
        ArgumentError: If there is no model, or a site is in several blocks; in `setup`, if a latent
            site is in none, or a block names one that there is not.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC, NUTS, DiscreteGibbs
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> def model():
        ...     z = sample("z", dist.Bernoulli(0.3))
        ...     sample("x", dist.Normal(2 * z, 1.0))
        >>> kernel = Gibbs([(NUTS, ["x"]), (DiscreteGibbs, ["z"])], model)
        >>> mcmc = MCMC(kernel, num_samples=300, warmup_steps=50, disable_progbar=True)
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["z"].mean() - 0.3) < 0.2)
        True

    References:
        Geman & Geman 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian
        restoration of images"; Tierney 1994, "Markov chains for exploring posterior distributions",
        section 2.4, for blocks that are moved by other kernels.
    """

    _of_a_run = ("_kernels", "_others", "_whole", "_discrete", "_values", "_params")

    def __init__(self, blocks: Sequence[Block], model: Model | None = None) -> None:
        self.blocks: list[tuple[Any, list[str]]] = [checked_block(block) for block in blocks]
        self.model: Model = model_of(self.blocks) if model is None else model
        require_program("model", self.model)
        require_instance("model", self.model)
        check_once(self.blocks)
        self.transforms: Mapping[str, Transform] | None = None  # those of the driver, in a run
        self._given: Params = {}
        self._kernels: list[MCMCKernel] | None = None

    def __repr__(self) -> str:
        return describe(
            self, {"blocks": [(name_of(k), names) for k, names in self.blocks]}, "Gibbs"
        )

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        trace = self._first_trace(args, kwargs)
        latent = {n: s for n, s in trace.iter_stochastic_nodes() if not site_is_subsample(s)}
        check_all(self.blocks, latent)
        discrete = {n for n, s in latent.items() if s["fn"].support.is_discrete}
        self._values = {name: site["value"] for name, site in latent.items()}
        self._discrete = Slot({name: self._values[name] for name in sorted(discrete)})
        self._whole = ModelPotential(
            poutine.condition(self.model, data=self._discrete), args, kwargs, self._transforms()
        )
        self._kernels, self._params = [], dict(self._discrete)
        self._others: list[Slot] = []
        for kernel, names in self.blocks:
            self._add(kernel, names, warmup_steps, args, kwargs)

    def _add(
        self,
        kernel: Any,
        names: Sequence[str],
        warmup_steps: int,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Set a kernel up given the sites of the others as they are."""
        assert self._kernels is not None
        others = Slot({n: x for n, x in self._values.items() if n not in names})
        conditioned = poutine.condition(self.model, data=others)
        if isinstance(kernel, MCMCKernel):
            kernel = copy.copy(kernel)
            kernel.model = conditioned
        else:
            kernel = kernel(conditioned)
        kernel.changing = others
        if given := {name: self._given[name] for name in names if name in self._given}:
            kernel.initial_params = given
        if self.transforms and hasattr(kernel, "transforms"):
            own = {name: t for name, t in self.transforms.items() if name in names}
            kernel.transforms = {**(kernel.transforms or {}), **own}
        kernel.setup(warmup_steps, *args, **kwargs)
        self._kernels.append(kernel)
        self._others.append(others)
        self._move(kernel.initial_params)

    def _move(self, params: Params) -> None:
        """Take over what a block has drawn, for itself and for the other blocks."""
        self._params = {**self._params, **params}
        self._discrete.update({n: x for n, x in self._params.items() if n in self._discrete})
        continuous = {n: x for n, x in self._params.items() if n not in self._discrete}
        with torch.no_grad(), validation_enabled(False):
            constrained = self._whole.constrain(continuous)
        known = {**{n: constrained[n] for n in continuous}, **self._discrete}
        self._values = {**self._values, **known}
        for others in self._others:
            others.update({name: self._values[name] for name in others})

    @opaque
    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`: unconstrained values, of discrete sites values."""
        kernels = self._running()
        if params is not self._params:
            self._move(params)
        for kernel, (_, names) in zip(kernels, self.blocks, strict=True):
            kernel.clear_cache()
            self._move(kernel.sample({name: self._params[name] for name in names}))
        return self._params

    @opaque
    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return values of draws, both ``(chain, draw, *site)``, with deterministic sites."""
        self._running()

        def one(params: dict[str, Tensor]) -> dict[str, Tensor]:
            with self._discrete.holding({n: x for n, x in params.items() if n in self._discrete}):
                found = self._whole.constrain(
                    {n: x for n, x in params.items() if n not in self._discrete}
                )
                return {**self._discrete, **found}

        flat = {name: x.flatten(0, 1) for name, x in draws.items()}
        shape = next(iter(draws.values())).shape[:2]
        try:
            many = torch.func.vmap(one, chunk_size=DRAWS_AT_ONCE, randomness="different")
            with unchecked(), torch.no_grad():
                values = many(flat)
        except (RuntimeError, ValueError, TypeError):  # one of the model itself comes again
            rows = [one({n: x[i] for n, x in flat.items()}) for i in range(shape.numel())]
            values = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {name: x.unflatten(0, shape) for name, x in values.items()}

    def end_warmup(self) -> None:
        """Note that warm-up is over."""
        for kernel in self._running():
            kernel.end_warmup()

    def fields(self) -> dict[str, float]:
        """Return whether the trajectory of a block diverged in the last draw."""
        found = [k.fields() for k in self._running() if hasattr(k, "fields")]
        return {"diverging": max((f["diverging"] for f in found), default=0.0)}

    def logging(self) -> Mapping[str, str]:
        """Return what the kernels show, each beside the names of its sites."""
        parts = zip(self._running(), self.blocks, strict=True)
        return {f"{', '.join(n)}: {k}": x for b, (_, n) in parts for k, x in b.logging().items()}

    def diagnostics(self) -> dict[str, Any]:
        """Return what the kernels know of the chain, by label and the names of the sites."""
        parts = zip(self._running(), self.blocks, strict=True)
        return {
            f"{label} of {', '.join(names)}": x
            for kernel, (_, names) in parts
            for label, x in kernel.diagnostics().items()
        }

    def cleanup(self) -> None:
        """Forget the chain."""
        for kernel in self._kernels or ():
            kernel.cleanup()
        vars(self).update(dict.fromkeys(self._of_a_run))

    @property
    def initial_params(self) -> Params:
        """Values that the chain starts from, by site: unconstrained but for discrete sites."""
        return self._given if self._kernels is None else self._params

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given = dict(params or {})

    def _running(self) -> list[MCMCKernel]:
        if self._kernels is None:
            raise NotRunError("call Gibbs.setup(warmup_steps, ...) before sampling")
        return self._kernels

    def _transforms(self) -> dict[str, Transform]:
        """Return the transforms that the kernels use for their sites, and those of the driver."""
        own = [getattr(kernel, "transforms", None) or {} for kernel, _ in self.blocks]
        return {n: t for part in (*own, self.transforms or {}) for n, t in part.items()}

    def _first_trace(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> poutine.Trace:
        """Return an execution at a draw from the prior where the density is finite."""

        def given(site: dict[str, Any]) -> Tensor | None:
            return self._given.get(site["name"]) if site["fn"].support.is_discrete else None

        for _ in range(MAX_TRIES):
            with torch.no_grad(), InitMessenger(given):
                trace: poutine.Trace = poutine.trace(self.model).get_trace(*args, **kwargs)
                with validation_enabled(False):
                    log_joint = torch.as_tensor(trace.copy().log_prob_sum())
            if bool(log_joint.isfinite()):
                return trace
        raise NotFiniteError(
            f"no starting point found in {MAX_TRIES} draws from the prior: the data have no "
            "density at any of them; pass initial_params, with values of the discrete sites"
        )
