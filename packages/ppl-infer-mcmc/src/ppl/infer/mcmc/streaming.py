"""Statistics of draws that are not kept: memory does not grow with their number."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.engine.threads import threads_for
from ppl.errors import ArgumentTypeError, NotRunError
from ppl.infer.layout import Layout
from ppl.infer.mcmc import util
from ppl.infer.mcmc.api import MCMC
from ppl.infer.mcmc.arguments import names_unknown_arguments
from ppl.infer.mcmc.batch_kernel import BatchKernel
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.driver.batches import prepare
from ppl.infer.mcmc.driver.progress import Progress
from ppl.infer.mcmc.driver.run_config import Hook, RunConfig, warn_if_empty
from ppl.infer.mcmc.driver.runs import runs_as_batch
from ppl.infer.mcmc.driver.sequential import constrain, set_up, transitions
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.portable import Portable, refuse_left_out
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.infer.mcmc.transition.step_records import FIELDS
from ppl.ops.streaming import CountMeanVarianceStats, StatsOfDict, StreamingStats
from ppl.randomness import seeded
from ppl.validation import validation_enabled

DRAWS_AT_ONCE = 1024  # are mapped to their sites, and forgotten


@names_unknown_arguments
class StreamingMCMC(Portable):
    """Markov chain Monte Carlo that keeps statistics instead of draws.

    Args:
        kernel: The kernel, such as ``NUTS(model)``; HMC and NUTS run all chains as one batch, if
            there is no `hook_fn`.
        num_samples: Draws of each chain after warm-up.
        warmup_steps: Draws of each chain that tune the kernel; default `num_samples`.
        initial_params: As of :class:`~ppl.infer.mcmc.MCMC`.
        statistics: What is updated with each draw: dictionaries with the keys ``(chain, site)``;
            it stays as it is, each run begins with a copy.  By default count, mean and variance.
        num_chains: The number of chains.
        hook_fn: As of :class:`~ppl.infer.mcmc.MCMC`.
        disable_progbar: Show no progress on stderr.
        disable_validation: As of :class:`~ppl.infer.mcmc.MCMC`.
        transforms: As of :class:`~ppl.infer.mcmc.MCMC`.
        save_params: Names of the sites that have statistics; default all.

    Raises:
        ShapeError: If `initial_params` has not the leading dimension `num_chains`.
        ArgumentError: If a number is too small, or a value of another type.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import NUTS
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> kernel = NUTS(lambda: sample("x", dist.Normal(3.0, 1.0)))
        >>> mcmc = StreamingMCMC(kernel, num_samples=1000, num_chains=4, disable_progbar=True)
        >>> mcmc.run()
        >>> found = mcmc.get_statistics(group_by_chain=False)["x"]
        >>> found["count"], bool(abs(found["mean"] - 3.0) < 0.1)
        (4000, True)
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_samples: int,
        warmup_steps: int | None = None,
        initial_params: Params | None = None,
        statistics: StreamingStats | None = None,
        num_chains: int = 1,
        hook_fn: Hook | None = None,
        disable_progbar: bool = False,
        disable_validation: bool = True,
        transforms: Mapping[str, Transform] | None = None,
        save_params: Sequence[str] | None = None,
    ) -> None:
        driver = MCMC(
            kernel,
            num_samples,
            warmup_steps,
            initial_params,
            num_chains,
            hook_fn,
            disable_progbar=disable_progbar,
            disable_validation=disable_validation,
            transforms=transforms,
            save_params=save_params,
        )
        if statistics is not None and not isinstance(statistics, StreamingStats):
            raise ArgumentTypeError(
                f"statistics must be one of ppl.ops.streaming, such as StatsOfDict(), got "
                f"{statistics!r}"
            )
        self.kernel = kernel
        self._config = driver._config
        self.num_samples: int = driver.num_samples
        self.warmup_steps: int = driver.warmup_steps
        self.num_chains: int = driver.num_chains
        default = StatsOfDict(default=CountMeanVarianceStats)
        self._given = default if statistics is None else statistics
        self._statistics: StreamingStats | None = None
        self._diagnostics: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        state = "no run yet"
        if self._statistics is not None:
            sites = sorted({name for _, name in self._statistics.get()})
            state = f"statistics of {', '.join(sites)}"
        return describe(self, self._config.options(self.kernel), state)

    @opaque
    @threads_for(0)  # what is around the potential's program is little work
    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run warm-up and sampling; the arguments are those of the model.

        Handlers that are active around the run do not see it.
        """
        refuse_left_out(self)
        self._statistics = copy.deepcopy(self._given)
        kernel, config, statistics = self.kernel, self._config, self._statistics
        if runs_as_batch(kernel, config):
            self._diagnostics = _run_together(kernel, config, statistics, args, kwargs)
        else:
            self._diagnostics = _run_sequentially(kernel, config, statistics, args, kwargs)

    def get_statistics(self, group_by_chain: bool = True) -> dict[Any, Any]:
        """Return the statistics, by ``(chain, site)`` or, merged over the chains, by site.

        Args:
            group_by_chain: Whether there are statistics for each chain.

        Raises:
            NotRunError: Before :meth:`run`.
            ArgumentTypeError: If statistics of another kind are to be merged.
        """
        found = self._found()
        if group_by_chain:
            values: dict[Any, Any] = found.get()
            return values
        if not isinstance(found, StatsOfDict):
            raise ArgumentTypeError(
                "only ppl.ops.streaming.StatsOfDict can be merged over the chains"
            )
        merged: dict[str, StreamingStats] = {}
        by_chain: Mapping[Any, StreamingStats] = found.stats
        for (_, name), stats in by_chain.items():
            merged[name] = merged[name].merge(stats) if name in merged else stats
        return {name: stats.get() for name, stats in merged.items()}

    def diagnostics(self) -> dict[str, Any]:
        """Return ``r_hat`` of each site with mean and variance, and what the kernel reports.

        See :func:`ppl.infer.mcmc.util.diagnostics_from_stats`; the kernel's entries are those of
        :meth:`ppl.infer.mcmc.MCMC.diagnostics`.
        """
        config = self._config
        sites = util.diagnostics_from_stats(
            self.get_statistics(), config.num_samples, config.num_chains
        )
        return {**sites, **self._diagnostics}

    def _found(self) -> StreamingStats:
        if self._statistics is None:
            raise NotRunError("there are no statistics yet: call StreamingMCMC.run(...) first")
        return self._statistics


class Stream:
    """Takes the draws of chains that run as a batch, from what they leave behind.

    Args:
        target: What is sampled.
        config: How.
        statistics: Updated in place.
    """

    def __init__(self, target: Target, config: RunConfig, statistics: StreamingStats) -> None:
        self.target = target
        self.config = config
        self.statistics = statistics
        self._positions: list[Tensor] = []  # (draw, dim)
        self._chains: list[Tensor] = []  # (draw,)
        self._accept_prob = torch.zeros(config.num_chains)
        self._divergences: list[list[int]] = [[] for _ in range(config.num_chains)]

    def take(self, chains: Chains) -> None:
        """Take the draws of the last leapfrogs."""
        records, first = chains.records, self.config.warmup_steps
        assert records is not None
        is_draw = (records.iteration >= first) & (records.iteration < self.config.num_iterations)
        step, chain = (records.finished & is_draw).nonzero(as_tuple=True)
        fields = records.fields[step, chain].cpu()
        self._positions.append(records.position[step, chain])
        self._chains.append(chain)
        accept_prob = fields[:, FIELDS.index("accept_prob")].to(self._accept_prob.dtype)
        self._accept_prob.index_add_(0, chain.cpu(), accept_prob)
        diverging = fields[:, FIELDS.index("diverging")].nonzero().flatten()
        for draw in diverging.tolist():
            number = int(records.iteration[step[draw], chain[draw]]) - first
            self._divergences[int(chain[draw])].append(number)
        if sum(map(len, self._chains)) >= DRAWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Update the statistics with all draws that were taken."""
        if not self._chains:
            return
        values = self.config.kept(self.target.constrain(torch.cat(self._positions)[None]))
        _update(self.statistics, torch.cat(self._chains).tolist(), values)
        self._positions.clear()
        self._chains.clear()

    def diagnostics(self) -> dict[str, dict[str, Any]]:
        """Return the indices of divergent draws and the mean acceptance probability by chain."""
        rates = (self._accept_prob / self.config.num_samples).tolist()
        return {
            "divergences": {f"chain {i}": draws for i, draws in enumerate(self._divergences)},
            "acceptance rate": {f"chain {i}": rate for i, rate in enumerate(rates)},
        }


def _run_together(
    kernel: BatchKernel,
    config: RunConfig,
    statistics: StreamingStats,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    problem = prepare(kernel, config, args, kwargs, is_endless=True)
    warn_if_empty(problem.target.layout)
    stream = Stream(problem.target, config, statistics)
    with (
        validation_enabled(not config.disable_validation),
        Progress(config.num_chains, config.num_iterations, config.disable_progbar) as progress,
    ):

        def report(chains: Chains) -> None:
            progress(chains)
            stream.take(chains)

        endless = problem.start(0, math.inf)  # these keep no draws
        try:
            endless.run(report, config.num_iterations)
        finally:  # after an interrupt, too
            stream.flush()
            kernel.cleanup()
    return stream.diagnostics()


def _run_sequentially(
    kernel: MCMCKernel,
    config: RunConfig,
    statistics: StreamingStats,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for chain, seed in enumerate(draw_seeds(config.num_chains)):
        with (
            seeded(seed),
            set_up(kernel, config, chain, args, kwargs),  # whose first execution is checked
            validation_enabled(not config.disable_validation),
        ):
            if chain == 0:
                warn_if_empty(Layout.of(kernel.initial_params))
            draws = (x for x, stage, _ in transitions(kernel, config, chain) if stage == "Sample")
            while block := list(islice(draws, DRAWS_AT_ONCE)):
                stacked = {n: torch.stack([draw[n] for draw in block])[None] for n in block[0]}
                values = config.kept(constrain(kernel, config, stacked))
                _update(statistics, [chain] * len(block), values)
        for label, value in kernel.diagnostics().items():
            found.setdefault(label, {})[f"chain {chain}"] = value
        kernel.cleanup()
    return found


def _update(
    statistics: StreamingStats, chains: Sequence[int], values: Mapping[str, Tensor]
) -> None:
    """Update statistics with draws of these chains, shape ``(1, draw, *site)``."""
    for i, chain in enumerate(chains):
        statistics.update({(chain, name): x[0, i] for name, x in values.items()})
