"""Ways to run chains: together as one batch, one after another, or in processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ppl.engine.threads import at_most, most_threads
from ppl.errors import ArgumentError, warn
from ppl.infer.mcmc.batch_kernel import BatchKernel, is_batch_kernel
from ppl.infer.mcmc.chains.chains import Chains, ChainsEnd
from ppl.infer.mcmc.chains.execution import Execution, choose_execution, will_compile
from ppl.infer.mcmc.chains.free_chains import FreeChain, run_in_threads
from ppl.infer.mcmc.chains.notices import shown
from ppl.infer.mcmc.driver.checkpoint import Start
from ppl.infer.mcmc.driver.for_one_run import for_one_run
from ppl.infer.mcmc.driver.parallel import Environment, default_start_method, run_in_processes
from ppl.infer.mcmc.driver.progress import Progress
from ppl.infer.mcmc.driver.run_config import (
    RunConfig,
    RunResult,
    Samples,
    chain_diagnostics,
    most_draws,
)
from ppl.infer.mcmc.driver.sequential import run_chain, run_sequentially
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.evaluation import loop_potential
from ppl.infer.mcmc.target.initial_points import MAX_CAUSES
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.infer.mcmc.transition.step_records import FIELDS
from ppl.validation import validation_enabled

DRAWS_AT_ONCE = 2**16  # of a run whose draws are kept in files


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
        return _run_batches(config, prepare(kernel, config, args, kwargs), chains, ends)
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
        return _run_batches(config, problem, chains, ends[number : number + 1])

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
    config: RunConfig, problem: Problem, chains: Sequence[int], ends: Sequence[ChainsEnd] = ()
) -> RunResult:
    """Run some chains, as batches one after another or free of each other."""
    target, firsts, folder = problem.target, chains[:: problem.width], config.folder
    runs: list[Chains] = []
    stopped: BaseException | None = None
    with validation_enabled(not config.disable_validation):
        try:
            for first in firsts:
                runs.append(problem.start(first, config.num_samples))
                if folder is not None:
                    folder.keep(runs[-1], first)
            for some, end in zip(runs, ends, strict=bool(ends)):
                some.go_on(end, is_new_run=True)
            _advance(runs, config)
        except BaseException as error:  # an interrupt, too: what was drawn is kept
            stopped = error
        parts = list(zip(firsts, runs, strict=False))
        parts, num_draws = most_draws(parts, lambda part: part[1].num_draws)
        if stopped is not None and num_draws < config.thinning:
            raise stopped
        firsts, records = [first for first, _ in parts], [part.record for _, part in parts]
        draws = [record.draws[:, :num_draws][:, config.kept_draws] for record in records]
        samples = _samples(config, target, draws, firsts[0])
    fields = {n: torch.cat([r.field(n)[:, :num_draws] for r in records]) for n in FIELDS}
    divergences = Divergences.join(
        record.divergences.thinned(1, num_draws).numbered_from(first)
        for record, first in zip(records, firsts, strict=True)
    )
    faults = target.faults_at(divergences.position)
    divergences = divergences.thinned(config.thinning, num_draws // config.thinning)
    diagnostics = chain_diagnostics(fields, firsts[0])
    layout, kept = target.layout, config.thin(fields)
    ends = tuple(part.end for _, part in parts)
    return RunResult(samples, layout, kept, divergences, diagnostics, faults, stopped, ends)


def _samples(config: RunConfig, target: Target, draws: Sequence[Tensor], first: int) -> Samples:
    """Return the values of the sites at draws ``(chain, draw, dim)`` of some batches.

    What is kept in files is computed some draws at a time, and goes to files as well.
    """
    folder, num_draws = config.folder, draws[0].shape[1]
    if folder is None or num_draws * len(draws) <= DRAWS_AT_ONCE:
        return config.kept(target.constrain(torch.cat(list(draws))))
    samples: Samples = {}
    for start in range(0, num_draws, DRAWS_AT_ONCE):
        some = slice(start, start + DRAWS_AT_ONCE)
        chain = 0
        for batch in draws:
            for name, x in config.kept(target.constrain(batch[:, some])).items():
                if name not in samples:
                    shape = (sum(map(len, draws)), num_draws, *x.shape[2:])
                    samples[name] = folder.tensor(f"site-{first}-{len(samples)}", shape, x)
                samples[name][chain : chain + len(batch), some] = x
            chain += len(batch)
    return samples


def _advance(runs: Sequence[Chains], config: RunConfig) -> None:
    """Run chains to their end, in threads if they are free and are not to run one after another."""
    length, is_silent = config.num_iterations, config.disable_progbar
    num_threads = min(len(runs), most_threads())
    if isinstance(runs[0], FreeChain) and config.chain_method != "sequential" and num_threads > 1:
        with Progress(len(runs), length, is_silent) as progress:
            run_in_threads(runs, num_threads, lambda chains: progress(*chains))
        return
    for chains in runs:
        with Progress(len(chains.state.iteration), length, is_silent) as progress:
            chains.run(progress)


def _described(config: RunConfig, target: Target) -> dict[str, Any]:
    """Return what makes a run the same run, as plain values."""
    return {
        "sites": dict(zip(target.layout.names, target.layout.sizes, strict=True)),
        "dtype": str(target.start.dtype),
        "num_chains": config.num_chains,
        "warmup_steps": config.warmup_steps,
        "num_processes": config.num_processes,
    }


@dataclass(frozen=True)
class Problem:
    """What is sampled, and how.

    Attributes:
        target: What is sampled.
        width: How many chains are one batch.
        start: Starts a batch, given its first chain and the number of draws of each.
    """

    target: Target
    width: int
    start: Callable[[int, float], Chains]


def prepare(
    kernel: BatchKernel,
    config: RunConfig,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    is_endless: bool = False,
) -> Problem:
    """Return what is sampled, and how.

    Args:
        kernel: The kernel.
        config: The config.
        args: Arguments of the model.
        kwargs: Keyword arguments of the model.
        is_endless: Whether chains are asked for each of their leapfrogs.
    """
    with for_one_run(kernel, config):
        target = kernel.target(config.num_chains, args, kwargs)
    if config.save_params is not None:
        config.check_sites(target.constrain(target.start[:1, None]))
    seeds = draw_seeds(config.num_chains)
    folder = config.folder
    execution = Execution(loop_potential(target.potential), config.width)
    if config.disable_validation:
        work = config.num_iterations, kernel.jit_compile
        learns_alone = not getattr(kernel, "cross_chain_adaptation", None)
        is_free = kernel.has_native_twin and learns_alone and not is_endless
        with validation_enabled(False), shown(not config.disable_progbar):
            execution = choose_execution(
                target.potential,
                target.start,
                config.width,
                *work,
                may_run_free=is_free,
            )

    begin = Start(seeds, target.start)
    if folder is not None:
        begin = folder.begin(_described(config, target), execution.name, begin)

    def start(first: int, num_samples: float) -> Chains:
        return kernel.start(
            execution.potential_and_grad,
            begin.position,
            begin.seeds,
            config.warmup_steps,
            num_samples,
            slice(first, first + execution.width),
            execution.new_replay() if execution.new_replay else None,
        )

    return Problem(target, execution.width, start)
