"""The driver: runs a kernel over chains and says whether to believe the draws."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from torch import Tensor
from torch.distributions import Transform

import ppl.plugins as plugins
from ppl.engine.threads import threads_for
from ppl.errors import NotRunError, warn
from ppl.infer.mcmc import arguments, util
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.driver.parallel import StartMethod
from ppl.infer.mcmc.driver.run_arguments import (
    folder_of,
    processes_of,
    starts_of,
    takes_argument,
    thinning_of,
)
from ppl.infer.mcmc.driver.run_config import (
    CHECKPOINT_EVERY,
    ChainMethod,
    Hook,
    RunConfig,
    RunResult,
    warn_if_empty,
)
from ppl.infer.mcmc.driver.run_verdict import diverging_in, is_suspicious, quick_verdict, verdict_of
from ppl.infer.mcmc.driver.runs import run_chains
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel, checked_kernel
from ppl.infer.mcmc.portable import Portable, refuse_left_out
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.results import Posterior
from ppl.infer.results.verdicts import judged


@arguments.names_unknown_arguments
class MCMC(Portable):
    """Markov chain Monte Carlo with any kernel.

    HMC and NUTS advance all chains together, as one batch of tensors in this process.  Other
    kernels, and all kernels if there is a `hook_fn`, run one chain after another.

    Args:
        kernel: The kernel, such as ``NUTS(model)``.
        num_samples: Draws of each chain after warm-up.
        warmup_steps: Draws of each chain that tune the kernel and are discarded; default
            `num_samples`.
        initial_params: Unconstrained values to start from, by site; with a leading dimension of
            size `num_chains` if there are several chains.  They are for the runs of this driver:
            the kernel does not keep them.
        num_chains: The number of chains.
        hook_fn: Called as ``hook_fn(kernel, params, stage, i)`` after each draw, with the
            unconstrained values and a stage "Warmup" or "Sample" (of several chains "Warmup [1]").
        mp_context: How the processes of parallel chains begin: "fork", "spawn" or "forkserver"; the
            default is to fork where that is safe.  The others pickle kernel, model and arguments.
        disable_progbar: Show no progress on stderr.
        disable_validation: Check values only in the first execution of the model.  With ``False``
            each execution is checked and run without recording, which is slow.
        transforms: From the support of a site to unconstrained space.  Draws of a kernel without a
            model are mapped back by their inverses; one with a model uses them in place of its own,
            for this driver.
        save_params: Names of the sites whose draws are kept; default all.
        chain_method: "vectorized" chains of HMC and NUTS run on threads, free of each other, if
            they are fewer than 16 and their model is compiled, else as one batch; "sequential"
            chains run one after another; "parallel" ones are the same chains as these, each in a
            process of its own, where also hooks are called and the kernel adapts: what `kernel` is
            here does not change.  All have the same distribution.
        thinning: Keep the last of each `thinning` draws, ``num_samples // thinning`` in all.
        checkpoint: A folder that keeps the run while it goes on.  A run of the same model and data
            that finds it there, perhaps after its process was killed, goes on from its last state
            and ends with the same draws, bit for bit; a finished one gives its draws again, or more
            of them if `num_samples` is larger.  Draws are mapped to files as they come, so that
            memory is no limit.  For HMC and NUTS without a `hook_fn`.
        checkpoint_every: Transitions of a chain between two states on disk, at least.
        num_processes: Into how many batches vectorized chains are split, each in a process that is
            forked once the model is compiled, with one thread of torch.  For many chains on a
            machine with several processors; what `kernel` is here does not change.

    Raises:
        ShapeError: If `initial_params` has not the leading dimension `num_chains`.
        ArgumentError: If a number is out of range, or `num_chains` no multiple of `num_processes`.
        ArgumentTypeError: If an argument is of another type, or has another name.

    Example:
        >>> import torch
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import NUTS
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> def model(data):
        ...     mean = sample("mean", dist.Normal(0.0, 10.0))
        ...     sample("data", dist.Normal(mean, 1.0).expand([3]).to_event(1), obs=data)
        >>> mcmc = MCMC(NUTS(model), num_samples=500, num_chains=4, disable_progbar=True)
        >>> mcmc.run(torch.tensor([1.0, 2.0, 3.0]))
        >>> mcmc.get_samples()["mean"].shape
        torch.Size([2000])
        >>> bool(abs(mcmc.get_samples()["mean"].mean() - 2.0) < 0.1)
        True
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_samples: int,
        warmup_steps: int | None = None,
        initial_params: Params | None = None,
        num_chains: int = 1,
        hook_fn: Hook | None = None,
        mp_context: StartMethod | None = None,
        disable_progbar: bool = False,
        disable_validation: bool = True,
        transforms: Mapping[str, Transform] | None = None,
        save_params: Sequence[str] | None = None,
        chain_method: ChainMethod = "vectorized",
        thinning: int = 1,
        num_processes: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = CHECKPOINT_EVERY,
    ) -> None:
        self.kernel: MCMCKernel = checked_kernel(kernel)
        self.num_samples: int = arguments.whole_number("num_samples", num_samples, 1)
        warmup_steps = self.num_samples if warmup_steps is None else warmup_steps
        self.warmup_steps: int = arguments.whole_number("warmup_steps", warmup_steps, 0)
        self.num_chains: int = arguments.whole_number("num_chains", num_chains, 1)
        if hook_fn is not None:
            arguments.function("hook_fn", hook_fn)
        if mp_context is not None:
            arguments.one_of("mp_context", mp_context, get_args(StartMethod))
        self._config = RunConfig(
            num_samples=self.num_samples,
            warmup_steps=self.warmup_steps,
            num_chains=self.num_chains,
            initial_params=starts_of(initial_params, self.num_chains),
            hook_fn=hook_fn,
            disable_progbar=arguments.flag("disable_progbar", disable_progbar),
            disable_validation=arguments.flag("disable_validation", disable_validation),
            transforms=arguments.optional_mapping("transforms", transforms, "transforms"),
            save_params=arguments.names_of_sites("save_params", save_params),
            chain_method=arguments.one_of("chain_method", chain_method, get_args(ChainMethod)),
            mp_context=mp_context,
            thinning=thinning_of(thinning, self.num_samples),
            num_processes=processes_of(num_processes, self.num_chains),
            checkpoint=folder_of(checkpoint),
            checkpoint_every=arguments.whole_number("checkpoint_every", checkpoint_every, 1),
        )
        self._draws: RunResult | None = None
        self._args: tuple[Any, ...] = ()  # of the last run; arviz.from_pyro reads these two
        self._kwargs: dict[str, Any] = {}

    _own = ("_draws",)

    def __repr__(self) -> str:
        state = "no run yet"
        if self._draws is not None:
            sites = ", ".join(self._draws.samples) or "no site"
            state = f"{self.num_chains} x {self._config.num_kept} draws of {sites}"
        return describe(self, self._config.options(self.kernel), state)

    @opaque
    @threads_for(0)  # what is around the potential's program is little work
    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run warm-up and sampling; the arguments are those of the model.

        Handlers that are active around the run do not see it.  Warns if transitions diverged, the
        chains disagree, or the model has nothing to sample.  After an interrupt or an error in the
        midst of sampling the draws made so far are kept, and the exception is raised.

        ``run(num_samples=500)`` makes as many further draws of each chain, without a warm-up, after
        those of the last run, and with the arguments of that run if none are given; a model that
        has an argument of this name gets it instead.

        Raises:
            ArgumentError: If there is no run that could go on, or with another model or other data.
        """
        refuse_left_out(self)
        if "num_samples" in kwargs and not takes_argument(self.kernel, "num_samples"):
            return self._run_further(*args, **kwargs)
        self._args, self._kwargs = args, kwargs
        self._draws = None  # those of an earlier run are not those of one that fails
        self._draws = run_chains(self.kernel, self._config, args, kwargs)
        self._judge(self._draws)

    def _run_further(self, *args: Any, num_samples: int, **kwargs: Any) -> None:
        """Make further draws after those of the last run."""
        found, number = self._found(), arguments.whole_number("num_samples", num_samples, 1)
        if args or kwargs:
            self._args, self._kwargs = args, kwargs
        config = replace(self._config, num_samples=self._config.num_samples + number)
        if config.checkpoint is None:
            further = replace(config, num_samples=number, warmup_steps=0)
            later = run_chains(self.kernel, further, self._args, self._kwargs, found.ends)
            self._draws = found.followed_by(later)
        else:
            self._draws = run_chains(self.kernel, config, self._args, self._kwargs)
        self._config, self.num_samples = config, config.num_samples
        self._judge(self._draws)

    def _judge(self, draws: RunResult) -> None:
        """Warn of draws that are not to be trusted, and raise what stopped the run."""
        warn_if_empty(draws.layout)
        if draws.stopped is not None:
            num_chains, num_draws = draws.shape
            warn(f"the run was stopped: {num_draws} draws of {num_chains} chains are kept")
            raise draws.stopped
        if not is_suspicious(self.kernel, draws):
            return
        verdict = quick_verdict(self.kernel, draws)
        if not verdict.reliable:
            warn(f"{verdict.brief()}\n(MCMC.summary() tells all)")

    def get_samples(
        self, num_samples: int | None = None, group_by_chain: bool = False
    ) -> dict[str, Tensor]:
        """Return the draws of the latent and the deterministic sites, constrained.

        Args:
            num_samples: Resample so many draws with replacement, the same ones for all sites.
            group_by_chain: Return shape ``(chain, draw, *site)`` instead of ``(draw, *site)``.

        Raises:
            NotRunError: Before :meth:`run`.
        """
        return util.select_samples(self._found().samples, num_samples, group_by_chain)

    def posterior(self) -> Posterior:
        """Return the draws of the last run with their model and data, and what they can be asked.

        Raises:
            NotRunError: Before :meth:`run`.
        """
        found = self._found()
        return Posterior.from_draws(
            found.samples,
            getattr(self.kernel, "model", None),
            *self._args,
            kwargs=self._kwargs,
            method=type(self.kernel).__name__.lower(),
            statistics=found.fields,
            are_chains=True,
            judge=partial(judged, partial(verdict_of, self.kernel, found.fields)),
        )

    def get_extra_fields(self) -> dict[str, Tensor]:
        """Return what the kernel reports of each draw, shape ``(chain, draw)``, by name.

        For HMC and NUTS ``accept_prob``, ``step_size``, ``tree_depth`` (doublings), ``num_steps``
        (leapfrogs), ``energy``, ``potential_energy`` (nats) and ``diverging``.

        If transitions diverged, ``diverged_at.site`` holds for each site the unconstrained value at
        which the transition was given up, ``(chain, draw, *unconstrained site)``; it is nan where
        none diverged.
        """
        found = self._found()
        diverged_at = found.divergences.fields(found.layout, *found.shape)
        return {**found.fields, **diverged_at}

    def diagnostics(self) -> dict[str, Any]:
        """Return the statistics of each site by its name, and what the kernel reports by label.

        The statistics ``n_eff``, ``r_hat``, ``ess_bulk`` and ``ess_tail`` have the site's shape.
        The kernel's entries hold a value by chain: HMC and NUTS report
        ``{"divergences": {"chain 0": [draws]}, "acceptance rate": {"chain 0": mean}}``.
        """
        found = self._found()
        return {**util.diagnostics(found.samples), **found.diagnostics}

    def summary(self, prob: float = 0.9) -> None:
        """Print a table of the posterior, the number of divergences, and a verdict on the draws.

        Args:
            prob: The mass of the credible interval.
        """
        found = self._found()
        util.print_summary(found.samples, prob)
        if "diverging" in found.fields:
            print(f"\nNumber of divergences: {int(found.fields['diverging'].sum())}")
        print(verdict_of(self.kernel, found.fields, found.samples, diverging_in(found)))

    def _found(self) -> RunResult:
        if self._draws is None:
            raise NotRunError("there are no draws yet: call MCMC.run(...) first")
        return self._draws


def __getattr__(name: str) -> object:
    """Return ``StreamingMCMC``, which needs this module, at the path where programs look for it."""
    if name == "StreamingMCMC":
        return plugins.load("ppl.infer", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
