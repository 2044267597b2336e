"""Chains one after another, draw by draw, through the methods of their kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch

from ppl.infer.layout import Layout
from ppl.infer.mcmc.driver.for_one_run import for_one_run
from ppl.infer.mcmc.driver.progress import progress_bar
from ppl.infer.mcmc.driver.run_config import RunConfig, RunResult, Samples
from ppl.infer.mcmc.mcmc_kernel import Diverging, MCMCKernel, Reporting
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.randomness import seeded
from ppl.validation import validation_enabled

Stage = Literal["Warmup", "Sample"]


def run_sequentially(
    kernel: MCMCKernel, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    """Run one chain after another, draw by draw, through the kernel's own methods."""
    chains: list[RunResult] = []
    for chain, seed in enumerate(draw_seeds(config.num_chains)):
        try:
            chains.append(run_chain(kernel, config, chain, seed, args, kwargs))
        except BaseException as error:  # before the chain's first draw
            if not chains:
                raise
            chains[-1] = replace(chains[-1], stopped=error)
        if chains[-1].stopped is not None:
            break
    return RunResult.join(chains)


def run_chain(
    kernel: MCMCKernel,
    config: RunConfig,
    chain: int,
    seed: int,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> RunResult:
    """Run one chain; all that it draws from torch, numpy and Python comes from its seed."""
    draws, fields = [], []
    stopped: BaseException | None = None
    with (
        seeded(seed),
        set_up(kernel, config, chain, args, kwargs),  # whose first execution is checked
        validation_enabled(not config.disable_validation),
    ):
        try:
            for params, stage, i in transitions(kernel, config, chain):
                if stage == "Sample":
                    fields.append(kernel.fields() if isinstance(kernel, Reporting) else {})
                    if (i + 1) % config.thinning == 0:
                        draws.append(params)
        except BaseException as error:  # an interrupt, too: what was drawn is kept
            if not draws:
                raise
            stopped = error
        stacked = {name: torch.stack([d[name] for d in draws])[None] for name in draws[0]}
        samples = config.kept(constrain(kernel, config, stacked))
    by_name = {n: torch.tensor([[f[n] for f in fields]]) for n in fields[0]}
    diagnostics = {label: {f"chain {chain}": x} for label, x in kernel.diagnostics().items()}
    layout = Layout.of(draws[0])
    if isinstance(kernel, Diverging):
        divergences = kernel.divergences().numbered_from(chain)
    else:
        divergences = Divergences.none(torch.zeros(1, layout.dim))
    faults = kernel.faults() if isinstance(kernel, Diverging) else Counter()
    divergences = divergences.thinned(config.thinning, len(draws))
    kernel.cleanup()
    kept = config.thin(by_name)
    return RunResult(samples, layout, kept, divergences, diagnostics, faults, stopped)


@contextmanager
def set_up(
    kernel: MCMCKernel,
    config: RunConfig,
    chain: int,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Iterator[None]:
    """Prepare the kernel for a chain, and let it forget where this one was to start."""
    with for_one_run(kernel, config, chain):
        kernel.setup(config.warmup_steps, *args, **kwargs)
        if config.save_params is not None:
            one = {name: x[None, None] for name, x in kernel.initial_params.items()}
            config.check_sites(constrain(kernel, config, one))
        yield


def transitions(
    kernel: MCMCKernel, config: RunConfig, chain: int
) -> Iterator[tuple[Params, Stage, int]]:
    """Yield the draws of a chain with their stage and their number in it."""
    params = kernel.initial_params
    label = f" [{chain + 1}]" if config.num_chains > 1 else ""
    with progress_bar(config.num_iterations, config.disable_progbar) as bar:
        for i in range(config.num_iterations):
            if i == config.warmup_steps:
                kernel.end_warmup()
            warming = i < config.warmup_steps
            stage: Stage = "Warmup" if warming else "Sample"
            index = i if warming else i - config.warmup_steps
            params = kernel.sample(params)
            if config.hook_fn is not None:
                config.hook_fn(kernel, params, stage + label, index)
            if not config.disable_progbar:
                bar.set_description(stage + label, refresh=False)
                bar.set_postfix(kernel.logging(), refresh=False)
            bar.update()
            yield params, stage, index


def constrain(kernel: MCMCKernel, config: RunConfig, draws: Samples) -> Samples:
    """Return the constrained values, ``(1, draw, *site)``, of unconstrained draws."""
    if hasattr(kernel, "constrain"):  # a kernel that knows its model
        values: Samples = kernel.constrain(draws)
        return values
    transforms = config.transforms or getattr(kernel, "transforms", None) or {}
    return {n: transforms[n].inv(x) if n in transforms else x for n, x in draws.items()}
