"""Ways to run chains: together as one batch, one after another, or in processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ppl.errors import warn
from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.divergences import Divergences
from ppl.infer.mcmc.execution import choose_potential, will_compile
from ppl.infer.mcmc.for_one_run import for_one_run
from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.initial_points import MAX_CAUSES
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.noise import draw_seeds
from ppl.infer.mcmc.parallel import Environment, default_start_method, run_in_processes
from ppl.infer.mcmc.potential import loop_potential
from ppl.infer.mcmc.progress import Progress, shown
from ppl.infer.mcmc.run_config import RunConfig, RunResult, Samples, most_draws
from ppl.infer.mcmc.sequential import run_chain, run_sequentially
from ppl.infer.mcmc.step_records import FIELDS
from ppl.infer.mcmc.target import Target
from ppl.infer.mcmc.threads import at_most
from ppl.validation import validation_enabled


def run_chains(
    kernel: MCMCKernel, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    """Run all chains in the way that the config asks for and the kernel is capable of.

    Tensors that were made in ``torch.inference_mode()`` are copied: gradients cannot be taken with
    them.
    """
    with torch.inference_mode(False):
        args, kwargs = tree_map_only(Tensor, _outside_inference_mode, (args, dict(kwargs)))
        found = _run_chains(kernel, config, args, kwargs)
    if found.faults:
        warn(_report(found.faults))
    return found


def _outside_inference_mode(x: Tensor) -> Tensor:
    return x.clone() if x.is_inference() else x


def _report(faults: Counter[str]) -> str:
    """Say why trajectories ended where the model has no density."""
    listed = "".join(f"\n- {cause} ({n} times)" for cause, n in faults.most_common(MAX_CAUSES))
    return (
        f"divergent transitions ended where the model has no density; where these were looked at:"
        f"{listed}\nDraw such a parameter from a distribution on the values that are allowed, such "
        "as HalfNormal for a scale, or map it there with exp, softplus or sigmoid"
    )


def _run_chains(
    kernel: MCMCKernel, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    is_parallel = config.chain_method == "parallel" and config.num_chains > 1
    if is_batch_kernel(kernel, config):
        is_forked = (config.mp_context or default_start_method()) == "fork"
        if (is_parallel and is_forked) or config.num_processes > 1:
            return run_in_batches(kernel, config, args, kwargs)
        if not is_parallel:
            return run_together(kernel, config, args, kwargs)
    return (run_apart if is_parallel else run_sequentially)(kernel, config, args, kwargs)


def run_apart(
    kernel: MCMCKernel, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    """Run each chain in a process that prepares it all; programs are compiled here before."""
    environment = Environment()
    if is_batch_kernel(kernel, config) and will_compile(config.num_iterations, kernel.jit_compile):
        with at_most(1):  # as in the processes, which find the program on disk
            prepare(kernel, config, args, kwargs)
        kernel.cleanup()
    chains = run_in_processes(
        partial(_run_one, kernel, config, args, kwargs),
        config.num_chains,
        config.num_iterations,
        mp_context=config.mp_context,
        disable_progbar=config.disable_progbar,
        keep=_kept,
        environment=environment,
    )
    draw_seeds(1)  # the processes used our generators' state: do not use it again
    return RunResult.join(chains)


def _kept(chains: list[RunResult], error: BaseException) -> list[RunResult]:
    """Return the draws of chains that were stopped by an interrupt, or by an error of another."""
    if not chains:
        raise error
    return [replace(chain, stopped=error) for chain in chains]


def is_batch_kernel(kernel: MCMCKernel, config: RunConfig) -> TypeGuard[HMC]:
    """Return whether chains can run as a batch.

    A hook wants draws one by one, and a batch would not know a subclass's transition of its own.
    """
    has_own_sample = type(kernel).sample is not HMC.sample
    return isinstance(kernel, HMC) and config.hook_fn is None and not has_own_sample


def _run_one(
    kernel: MCMCKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    chain: int,
) -> RunResult:
    """Run the chain that would be this one if all of them ran one after another."""
    if is_batch_kernel(kernel, config):
        return run_together(kernel, config, args, kwargs, chain)
    return run_chain(kernel, config, chain, draw_seeds(config.num_chains)[chain], args, kwargs)


def run_together(
    kernel: HMC,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    only: int | None = None,
) -> RunResult:
    """Run all chains as one batch, or in batches of one if the config is not vectorized.

    Args:
        kernel: The kernel.
        config: The config.
        args: Arguments of the model.
        kwargs: Keyword arguments of the model.
        only: Run only this chain, as it would run among the others.
    """
    firsts = range(0, config.num_chains, config.width) if only is None else [only]
    try:
        return _run_batches(config, *prepare(kernel, config, args, kwargs), firsts)
    finally:
        kernel.cleanup()


def run_in_batches(
    kernel: HMC, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    """Run the chains in batches, each in a process that is forked when all is prepared."""
    with at_most(1):  # processes cannot share those of a compiled program
        target, start = prepare(kernel, config, args, kwargs)

    def task(number: int) -> RunResult:
        return _run_batches(config, target, start, [number * config.width])

    try:
        batches = run_in_processes(
            task,
            config.num_chains // config.width,
            config.num_iterations * config.width,
            mp_context="fork",
            disable_progbar=config.disable_progbar,
            keep=_kept,
        )
    finally:
        kernel.cleanup()
    return RunResult.join(batches)


def _run_batches(
    config: RunConfig,
    target: Target,
    start: Callable[[slice, float], Chains],
    firsts: Sequence[int],
) -> RunResult:
    """Run the batches that begin with the given chains, one after another."""
    runs: list[Chains] = []
    stopped: BaseException | None = None
    with validation_enabled(not config.disable_validation):
        try:
            for first in firsts:
                runs.append(start(slice(first, first + config.width), config.num_samples))
                with Progress(
                    config.width, config.num_iterations, config.disable_progbar
                ) as progress:
                    runs[-1].run(progress)
        except BaseException as error:  # an interrupt, too: what was drawn is kept
            stopped = error
        runs, num_draws = most_draws(runs, lambda chains: chains.num_draws)
        if stopped is not None and num_draws < config.thinning:
            raise stopped
        records = [chains.record for chains in runs]
        draws = torch.cat([record.draws[:, :num_draws] for record in records])
        samples = config.kept(target.constrain(draws[:, config.kept_draws]))
    fields = {n: torch.cat([r.field(n)[:, :num_draws] for r in records]) for n in FIELDS}
    divergences = Divergences.join(
        record.divergences.thinned(1, num_draws).numbered_from(first)
        for record, first in zip(records, firsts, strict=False)
    )
    faults = target.faults_at(divergences.position)
    divergences = divergences.thinned(config.thinning, num_draws // config.thinning)
    diagnostics = _chain_diagnostics(fields, firsts[0])
    layout, kept = target.layout, config.thin(fields)
    return RunResult(samples, layout, kept, divergences, diagnostics, faults, stopped)


def prepare(
    kernel: HMC, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Target, Callable[[slice, float], Chains]]:
    """Return what is sampled, and what starts some of the chains for so many draws each."""
    with for_one_run(kernel, config):
        target = kernel.target(config.num_chains, args, kwargs)
    if config.save_params is not None:
        config.check_sites(target.constrain(target.start[:1, None]))
    seeds = draw_seeds(config.num_chains)
    if config.disable_validation:
        with validation_enabled(False):
            batch = target.start[: config.width]
            with shown(not config.disable_progbar):
                potential_and_grad = choose_potential(
                    target.potential, batch, config.num_iterations, kernel.jit_compile
                )
    else:
        potential_and_grad = loop_potential(target.potential)

    def start(some: slice, num_samples: float) -> Chains:
        return kernel.start(
            potential_and_grad, target.start[some], seeds[some], config.warmup_steps, num_samples
        )

    return target, start


def _chain_diagnostics(fields: Samples, first: int = 0) -> dict[str, dict[str, Any]]:
    """Return the indices of divergent draws and the mean acceptance probability of each chain."""
    rates = fields["accept_prob"].mean(-1).tolist()
    divergent = [row.nonzero().flatten().tolist() for row in fields["diverging"]]
    return {
        "divergences": {f"chain {i}": draws for i, draws in enumerate(divergent, first)},
        "acceptance rate": {f"chain {i}": rate for i, rate in enumerate(rates, first)},
    }
