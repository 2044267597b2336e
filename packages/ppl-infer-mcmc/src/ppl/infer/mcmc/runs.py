"""Two ways to run chains: together as one batch, or one after another, draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.noise import draw_seeds
from ppl.infer.mcmc.potential import Params, one_by_one
from ppl.infer.mcmc.progress import Progress, progress_bar
from ppl.infer.mcmc.recording import FIELDS, Recording
from ppl.infer.mcmc.tiers import choose_potential
from ppl.validation import validation_enabled

Hook = Callable[[MCMCKernel, Params, str, int], Any]
Samples = dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """What to run; the fields are the arguments of :class:`~ppl.infer.mcmc.MCMC`."""

    num_samples: int
    warmup_steps: int
    num_chains: int
    initial_params: Params | None
    hook_fn: Hook | None
    disable_progbar: bool
    disable_validation: bool
    transforms: Mapping[str, Transform] | None
    save_params: Sequence[str] | None
    vectorized: bool

    @property
    def num_iterations(self) -> int:
        """Draws of a chain, those of warm-up included."""
        return self.warmup_steps + self.num_samples


@dataclass(frozen=True)
class Draws:
    """What a run has found.

    Attributes:
        samples: Constrained values by site, ``(chain, draw, *site)``.
        latent: The sites that were sampled; the others are computed from them.
        fields: What the kernel reports of each draw, ``(chain, draw)``, by name.
        diagnostics: What the kernel reports of each chain, by label and ``"chain 0"``, ...
    """

    samples: Samples
    latent: tuple[str, ...]
    fields: Samples
    diagnostics: dict[str, dict[str, Any]]


def run_together(
    kernel: HMC, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    """Run all chains as one batch, or in batches of one if the plan is not vectorized."""
    if plan.initial_params is not None:
        kernel.initial_params = plan.initial_params
    target = kernel.target(plan.num_chains, args, kwargs)
    seeds = draw_seeds(plan.num_chains)
    width = plan.num_chains if plan.vectorized else 1
    with validation_enabled(not plan.disable_validation):
        if plan.disable_validation:
            potential_and_grad = choose_potential(
                target.potential, target.start[:width], plan.num_iterations, kernel.jit_compile
            )
        else:
            potential_and_grad = one_by_one(target.potential)
        records: list[Recording] = []
        for first in range(0, plan.num_chains, width):
            some = slice(first, first + width)
            chains = kernel.start(
                potential_and_grad,
                target.start[some],
                seeds[some],
                plan.warmup_steps,
                plan.num_samples,
            )
            with Progress(width, plan.num_iterations, plan.disable_progbar) as progress:
                chains.run(progress)
            records.append(chains.record)
        record = Recording(*map(torch.cat, zip(*records, strict=True)))
        samples = _kept(target.constrain(record.draws), plan)
    fields = {name: record.field(name) for name in FIELDS}
    return Draws(samples, target.layout.names, _typed(fields), _chain_diagnostics(fields))


def run_in_turn(
    kernel: MCMCKernel, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    """Run one chain after another, draw by draw, through the kernel's own methods."""
    chains = [_run_chain(kernel, plan, chain, args, kwargs) for chain in range(plan.num_chains)]
    latent = tuple(chains[0].samples)
    joined = {n: torch.cat([chain.samples[n] for chain in chains]) for n in latent}
    fields = {n: torch.cat([chain.fields[n] for chain in chains]) for n in chains[0].fields}
    labels = chains[0].diagnostics
    diagnostics = {
        label: {f"chain {i}": chain.diagnostics[label] for i, chain in enumerate(chains)}
        for label in labels
    }
    return Draws(joined, chains[0].latent, _typed(fields), diagnostics)


def _run_chain(
    kernel: MCMCKernel, plan: Plan, chain: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    if plan.initial_params is not None:
        several = plan.num_chains > 1
        kernel.initial_params = {
            name: x[chain] if several else x for name, x in plan.initial_params.items()
        }
    kernel.setup(plan.warmup_steps, *args, **kwargs)
    draws, fields = [], []
    with validation_enabled(not plan.disable_validation):
        for params, stage in _transitions(kernel, plan, chain):
            if stage == "Sample":
                draws.append(params)
                fields.append(kernel.fields() if isinstance(kernel, HMC) else {})
        stacked = {name: torch.stack([d[name] for d in draws])[None] for name in draws[0]}
        samples = _kept(_constrain(kernel, plan, stacked), plan)
    by_name = {n: torch.tensor([[f[n] for f in fields]]) for n in fields[0]}
    found = Draws(samples, tuple(stacked), by_name, kernel.diagnostics())
    kernel.cleanup()
    return found


def _transitions(kernel: MCMCKernel, plan: Plan, chain: int) -> Any:
    """Yield the draws of a chain with their stage, "Warmup" or "Sample"."""
    params = kernel.initial_params
    label = f" [{chain + 1}]" if plan.num_chains > 1 else ""
    with progress_bar(plan.num_iterations, plan.disable_progbar) as bar:
        for i in range(plan.num_iterations):
            if i == plan.warmup_steps:
                kernel.end_warmup()
            warming = i < plan.warmup_steps
            stage = "Warmup" if warming else "Sample"
            params = kernel.sample(params)
            if plan.hook_fn is not None:
                index = i if warming else i - plan.warmup_steps
                plan.hook_fn(kernel, params, stage + label, index)
            if not plan.disable_progbar:
                bar.set_description(stage + label, refresh=False)
                bar.set_postfix(kernel.logging(), refresh=False)
            bar.update()
            yield params, stage


def _constrain(kernel: MCMCKernel, plan: Plan, draws: Samples) -> Samples:
    """Return the constrained values, ``(1, draw, *site)``, of unconstrained draws."""
    if isinstance(kernel, HMC):
        return kernel.constrain(draws)
    transforms = plan.transforms or getattr(kernel, "transforms", None) or {}
    return {n: transforms[n].inv(x) if n in transforms else x for n, x in draws.items()}


def _kept(samples: Samples, plan: Plan) -> Samples:
    wanted = plan.save_params
    return {n: x for n, x in samples.items() if wanted is None or n in wanted}


def _typed(fields: Samples) -> Samples:
    """Give counts and flags their types: they were recorded beside numbers."""
    types = {"diverging": torch.bool, "tree_depth": torch.long, "num_steps": torch.long}
    return {name: x.to(types.get(name, x.dtype)) for name, x in fields.items()}


def _chain_diagnostics(fields: Samples) -> dict[str, dict[str, Any]]:
    """Return the indices of divergent draws and the mean acceptance probability of each chain."""
    rates = fields["accept_prob"].mean(-1).tolist()
    divergent = [row.nonzero().flatten().tolist() for row in fields["diverging"]]
    return {
        "divergences": {f"chain {i}": draws for i, draws in enumerate(divergent)},
        "acceptance rate": {f"chain {i}": rate for i, rate in enumerate(rates)},
    }
