"""Ways to run chains: together as one batch, one after another, or in processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ppl.engine.threads import at_most
from ppl.errors import ArgumentError, warn
from ppl.infer.mcmc.batch_kernel import BatchKernel, is_batch_kernel
from ppl.infer.mcmc.chains.chains import ChainsEnd
from ppl.infer.mcmc.chains.execution import will_compile
from ppl.infer.mcmc.driver.batches import prepare, run_batches
from ppl.infer.mcmc.driver.parallel import Environment, default_start_method, run_in_processes
from ppl.infer.mcmc.driver.run_config import RunConfig, RunResult
from ppl.infer.mcmc.driver.sequential import run_chain, run_sequentially
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.target.initial_points import MAX_CAUSES
from ppl.infer.mcmc.transition.noise import draw_seeds


def run_chains(
    kernel: MCMCKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    ends: tuple[ChainsEnd, ...] = (),
) -> RunResult:
    """Run all chains in the way that the config asks for and the kernel is capable of.

    They go on from the ends of another run, if there are any.  Tensors that were made in
    ``torch.inference_mode()`` are copied: gradients cannot be taken with them.
    """
    with torch.inference_mode(False):
        args, kwargs = tree_map_only(Tensor, _outside_inference_mode, (args, dict(kwargs)))
        found = _run_chains(kernel, config, args, kwargs, ends)
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
    kernel: MCMCKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    ends: tuple[ChainsEnd, ...],
) -> RunResult:
    is_parallel = config.chain_method == "parallel" and config.num_chains > 1
    if runs_as_batch(kernel, config):
        is_forked = (config.mp_context or default_start_method()) == "fork"
        if (is_parallel and is_forked) or config.num_processes > 1:
            return run_in_batches(kernel, config, args, kwargs, ends)
        if not is_parallel or ends:
            return run_together(kernel, config, args, kwargs, ends=ends)
    elif config.checkpoint is not None or ends:
        raise ArgumentError(
            "only kernels whose chains run as a batch, such as HMC and NUTS, and no hook_fn go on "
            f"from a checkpoint or an earlier run, not {type(kernel).__name__}"
            + (" with a hook_fn" if config.hook_fn else "")
        )
    return (run_apart if is_parallel else run_sequentially)(kernel, config, args, kwargs)


def run_apart(
    kernel: MCMCKernel, config: RunConfig, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunResult:
    """Run each chain in a process that prepares it all; programs are compiled here before."""
    environment = Environment()
    if runs_as_batch(kernel, config) and (
        config.checkpoint is not None or will_compile(config.num_iterations, kernel.jit_compile)
    ):
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


def runs_as_batch(kernel: object, config: RunConfig) -> TypeGuard[BatchKernel]:
    """Return whether chains run as a batch: a hook wants draws one by one."""
    return config.hook_fn is None and is_batch_kernel(kernel)


def _run_one(
    kernel: MCMCKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    chain: int,
) -> RunResult:
    """Run the chain that would be this one if all of them ran one after another."""
    if runs_as_batch(kernel, config):
        return run_together(kernel, config, args, kwargs, chain)
    return run_chain(kernel, config, chain, draw_seeds(config.num_chains)[chain], args, kwargs)


def run_together(
    kernel: BatchKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    only: int | None = None,
    ends: tuple[ChainsEnd, ...] = (),
) -> RunResult:
    """Run all chains as one batch, or in batches of one if the config is not vectorized.

    Args:
        kernel: The kernel.
        config: The config.
        args: Arguments of the model.
        kwargs: Keyword arguments of the model.
        only: Run only this chain, as it would run among the others.
        ends: From where each batch goes on.
    """
    chains = range(config.num_chains) if only is None else [only]
    try:
        return run_batches(config, prepare(kernel, config, args, kwargs), chains, ends)
    finally:
        kernel.cleanup()


def run_in_batches(
    kernel: BatchKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    ends: tuple[ChainsEnd, ...] = (),
) -> RunResult:
    """Run the chains in batches, each in a process that is forked when all is prepared."""
    with at_most(1):  # processes cannot share those of a compiled program
        problem = prepare(kernel, config, args, kwargs)

    def task(number: int) -> RunResult:
        first = number * config.width
        chains = range(first, first + config.width)
        return run_batches(config, problem, chains, ends[number : number + 1])

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
