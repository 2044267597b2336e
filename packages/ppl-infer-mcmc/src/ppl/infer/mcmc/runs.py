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
from ppl.infer.mcmc.for_one_run import for_one_run
from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.in_turn import run_chain, run_in_turn
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.noise import draw_seeds
from ppl.infer.mcmc.parallel import Environment, default_start_method, run_in_processes
from ppl.infer.mcmc.plan import Draws, Plan, Samples, most_draws
from ppl.infer.mcmc.potential import one_by_one
from ppl.infer.mcmc.progress import Progress, shown
from ppl.infer.mcmc.recording import FIELDS
from ppl.infer.mcmc.starts import MAX_CAUSES
from ppl.infer.mcmc.target import Target
from ppl.infer.mcmc.threads import at_most
from ppl.infer.mcmc.tiers import choose_potential, will_compile
from ppl.validation import validation_enabled


def run_chains(
    kernel: MCMCKernel, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    """Run all chains in the way that the plan asks for and the kernel is capable of.

    Tensors that were made in ``torch.inference_mode()`` are copied: gradients cannot be taken with
    them.
    """
    with torch.inference_mode(False):
        args, kwargs = tree_map_only(Tensor, _outside_inference_mode, (args, dict(kwargs)))
        found = _run_chains(kernel, plan, args, kwargs)
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
    kernel: MCMCKernel, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    is_parallel = plan.chain_method == "parallel" and plan.num_chains > 1
    if is_batch_kernel(kernel, plan):
        is_forked = (plan.mp_context or default_start_method()) == "fork"
        if (is_parallel and is_forked) or plan.num_processes > 1:
            return run_in_batches(kernel, plan, args, kwargs)
        if not is_parallel:
            return run_together(kernel, plan, args, kwargs)
    return (run_apart if is_parallel else run_in_turn)(kernel, plan, args, kwargs)


def run_apart(
    kernel: MCMCKernel, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    """Run each chain in a process that prepares it all; programs are compiled here before."""
    environment = Environment()
    if is_batch_kernel(kernel, plan) and will_compile(plan.num_iterations, kernel.jit_compile):
        with at_most(1):  # as in the processes, which find the program on disk
            prepare(kernel, plan, args, kwargs)
        kernel.cleanup()
    chains = run_in_processes(
        partial(_run_one, kernel, plan, args, kwargs),
        plan.num_chains,
        plan.num_iterations,
        mp_context=plan.mp_context,
        disable_progbar=plan.disable_progbar,
        keep=_kept,
        environment=environment,
    )
    draw_seeds(1)  # the processes used our generators' state: do not use it again
    return Draws.join(chains)


def _kept(chains: list[Draws], error: BaseException) -> list[Draws]:
    """Return the draws of chains that were stopped by an interrupt, or by an error of another."""
    if not chains:
        raise error
    return [replace(chain, stopped=error) for chain in chains]


def is_batch_kernel(kernel: MCMCKernel, plan: Plan) -> TypeGuard[HMC]:
    """Return whether chains can run as a batch.

    A hook wants draws one by one, and a batch would not know a subclass's transition of its own.
    """
    has_own_sample = type(kernel).sample is not HMC.sample
    return isinstance(kernel, HMC) and plan.hook_fn is None and not has_own_sample


def _run_one(
    kernel: MCMCKernel,
    plan: Plan,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    chain: int,
) -> Draws:
    """Run the chain that would be this one if all of them ran one after another."""
    if is_batch_kernel(kernel, plan):
        return run_together(kernel, plan, args, kwargs, chain)
    return run_chain(kernel, plan, chain, draw_seeds(plan.num_chains)[chain], args, kwargs)


def run_together(
    kernel: HMC,
    plan: Plan,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    only: int | None = None,
) -> Draws:
    """Run all chains as one batch, or in batches of one if the plan is not vectorized.

    Args:
        kernel: The kernel.
        plan: The plan.
        args: Arguments of the model.
        kwargs: Keyword arguments of the model.
        only: Run only this chain, as it would run among the others.
    """
    firsts = range(0, plan.num_chains, plan.width) if only is None else [only]
    try:
        return _run_batches(plan, *prepare(kernel, plan, args, kwargs), firsts)
    finally:
        kernel.cleanup()


def run_in_batches(
    kernel: HMC, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Draws:
    """Run the chains in batches, each in a process that is forked when all is prepared."""
    with at_most(1):  # processes cannot share those of a compiled program
        target, start = prepare(kernel, plan, args, kwargs)

    def task(number: int) -> Draws:
        return _run_batches(plan, target, start, [number * plan.width])

    try:
        batches = run_in_processes(
            task,
            plan.num_chains // plan.width,
            plan.num_iterations * plan.width,
            mp_context="fork",
            disable_progbar=plan.disable_progbar,
            keep=_kept,
        )
    finally:
        kernel.cleanup()
    return Draws.join(batches)


def _run_batches(
    plan: Plan, target: Target, start: Callable[[slice, float], Chains], firsts: Sequence[int]
) -> Draws:
    """Run the batches that begin with the given chains, one after another."""
    runs: list[Chains] = []
    stopped: BaseException | None = None
    with validation_enabled(not plan.disable_validation):
        try:
            for first in firsts:
                runs.append(start(slice(first, first + plan.width), plan.num_samples))
                with Progress(plan.width, plan.num_iterations, plan.disable_progbar) as progress:
                    runs[-1].run(progress)
        except BaseException as error:  # an interrupt, too: what was drawn is kept
            stopped = error
        runs, num_draws = most_draws(runs, lambda chains: chains.num_draws)
        if stopped is not None and num_draws < plan.thinning:
            raise stopped
        records = [chains.record for chains in runs]
        draws = torch.cat([record.draws[:, :num_draws] for record in records])
        samples = plan.kept(target.constrain(draws[:, plan.kept_draws]))
    fields = {n: torch.cat([r.field(n)[:, :num_draws] for r in records]) for n in FIELDS}
    divergences = Divergences.join(
        record.divergences.thinned(1, num_draws).numbered_from(first)
        for record, first in zip(records, firsts, strict=False)
    )
    faults = target.faults_at(divergences.position)
    divergences = divergences.thinned(plan.thinning, num_draws // plan.thinning)
    diagnostics = _chain_diagnostics(fields, firsts[0])
    layout, kept = target.layout, plan.thin(fields)
    return Draws(samples, layout, kept, divergences, diagnostics, faults, stopped)


def prepare(
    kernel: HMC, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Target, Callable[[slice, float], Chains]]:
    """Return what is sampled, and what starts some of the chains for so many draws each."""
    with for_one_run(kernel, plan):
        target = kernel.target(plan.num_chains, args, kwargs)
    if plan.save_params is not None:
        plan.check_sites(target.constrain(target.start[:1, None]))
    seeds = draw_seeds(plan.num_chains)
    if plan.disable_validation:
        with validation_enabled(False):
            batch = target.start[: plan.width]
            with shown(not plan.disable_progbar):
                potential_and_grad = choose_potential(
                    target.potential, batch, plan.num_iterations, kernel.jit_compile
                )
    else:
        potential_and_grad = one_by_one(target.potential)

    def start(some: slice, num_samples: float) -> Chains:
        return kernel.start(
            potential_and_grad, target.start[some], seeds[some], plan.warmup_steps, num_samples
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
