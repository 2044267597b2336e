"""Batches of chains: what is sampled, and runs of some of them in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ppl.engine.threads import most_threads
from ppl.infer.mcmc.batch_kernel import BatchKernel
from ppl.infer.mcmc.chains.chains import Chains, ChainsEnd
from ppl.infer.mcmc.chains.execution import Execution, choose_execution
from ppl.infer.mcmc.chains.free_chains import FreeChain, run_in_threads
from ppl.infer.mcmc.chains.notices import shown
from ppl.infer.mcmc.driver.checkpoint import Start
from ppl.infer.mcmc.driver.for_one_run import for_one_run
from ppl.infer.mcmc.driver.progress import Progress
from ppl.infer.mcmc.driver.run_config import (
    RunConfig,
    RunResult,
    Samples,
    chain_diagnostics,
    most_draws,
)
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.evaluation import loop_potential
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.infer.mcmc.transition.step_records import FIELDS
from ppl.validation import validation_enabled

DRAWS_AT_ONCE = 2**16  # of a run whose draws are kept in files


def run_batches(
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
