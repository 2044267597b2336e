"""What to run, and what a run has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.errors import MissingSiteError, warn
from ppl.infer.layout import Layout
from ppl.infer.mcmc.chains.chains import ChainsEnd
from ppl.infer.mcmc.driver.checkpoint import RunFolder
from ppl.infer.mcmc.driver.parallel import StartMethod
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.portable import Portable
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.potential import Params
from ppl.plugins import nearest

ChainMethod = Literal["vectorized", "sequential", "parallel"]
Hook = Callable[[MCMCKernel, Params, str, int], Any]
Samples = dict[str, Tensor]
Part = TypeVar("Part")
CHECKPOINT_EVERY = 100


@dataclass(frozen=True)
class RunConfig(Portable):
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
    chain_method: ChainMethod
    mp_context: StartMethod | None
    thinning: int
    num_processes: int
    checkpoint: Path | None = None
    checkpoint_every: int = CHECKPOINT_EVERY

    def options(self, kernel: MCMCKernel) -> dict[str, Any]:
        """Return the arguments of the driver by name."""
        return {
            "kernel": kernel,
            **{field.name: getattr(self, field.name) for field in fields(self)},
        }

    @property
    def width(self) -> int:
        """How many chains are one batch of tensors."""
        return self.num_chains // self.num_processes if self.chain_method == "vectorized" else 1

    @property
    def folder(self) -> RunFolder | None:
        """What keeps the run on disk, if anything does."""
        return (
            None if self.checkpoint is None else RunFolder(self.checkpoint, self.checkpoint_every)
        )

    @property
    def num_iterations(self) -> int:
        """Draws of a chain, those of warm-up included."""
        return self.warmup_steps + self.num_samples

    def start_of(self, chain: int | None) -> Params:
        """Return where a chain starts; None for all of them, as they were given."""
        given = self.initial_params or {}
        if chain is None or self.num_chains == 1:
            return given
        return {name: x[chain] for name, x in given.items()}

    def check_sites(self, names: Collection[str]) -> None:
        """Check that the sites that are to be kept are among these.

        Raises:
            MissingSiteError: If one is not; the nearest name is offered.
        """
        for name in self.save_params or ():
            if name not in names:
                raise MissingSiteError(
                    f"save_params asks for a site {name!r}, but the draws have the sites "
                    f"{sorted(names)}{nearest(name, list(names))}",
                    site=name,
                )

    def kept(self, samples: Samples) -> Samples:
        """Return the sites that are to be kept."""
        wanted = self.save_params
        return {n: x for n, x in samples.items() if wanted is None or n in wanted}

    @property
    def num_kept(self) -> int:
        """Draws of a chain that are kept."""
        return self.num_samples // self.thinning

    @property
    def kept_draws(self) -> slice:
        """Which of the draws are kept: the last of each group of `thinning`."""
        return slice(self.thinning - 1, None, self.thinning)

    def thin(self, fields: Samples) -> Samples:
        """Return the fields, ``(chain, draw)``, of the draws that are kept.

        One of these diverged if a transition since the one before did.
        """
        few = {name: x[:, self.kept_draws] for name, x in fields.items()}
        if self.thinning > 1 and "diverging" in few:
            groups = fields["diverging"].unfold(1, self.thinning, self.thinning)
            few["diverging"] = groups.amax(-1)  # (chain, draw, transition) before
        return _typed(few)


@dataclass(frozen=True)
class RunResult(Portable):
    """What a run has found.

    Attributes:
        samples: Constrained values by site, ``(chain, draw, *site)``.
        layout: Of the sites that were sampled; the others are computed from them.
        fields: What the kernel reports of each draw, ``(chain, draw)``, by name.
        divergences: Where transitions diverged.
        diagnostics: What the kernel reports of each chain, by label and ``"chain 0"``, ...
        faults: Why transitions ended at points without density, and how often.
        stopped: The exception or interrupt that ended the run early, None if nothing did.
        ends: From where the run can go on, of each batch of chains; empty if it cannot.
    """

    samples: Samples
    layout: Layout
    fields: Samples
    divergences: Divergences
    diagnostics: dict[str, dict[str, Any]]
    faults: Counter[str] = field(default_factory=Counter)
    stopped: BaseException | None = None
    ends: tuple[ChainsEnd, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of chains and of draws."""
        found = (*self.fields.values(), *self.samples.values(), torch.empty(0, 0))
        chains, draws, *_ = found[0].shape
        return chains, draws

    def first(self, num_draws: int) -> RunResult:
        """Return the first draws of each chain."""
        return replace(
            self,
            samples={n: x[:, :num_draws] for n, x in self.samples.items()},
            fields={n: x[:, :num_draws] for n, x in self.fields.items()},
            divergences=self.divergences.thinned(1, num_draws),
        )

    @classmethod
    def join(cls, chains: Sequence[RunResult]) -> RunResult:
        """Return the draws of all chains; where one was stopped, the most that have one length."""
        stopped = next((c.stopped for c in chains if c.stopped is not None), None)
        chains, length = most_draws(chains, lambda chain: chain.shape[1])
        chains = [chain.first(length) for chain in chains]
        first = chains[0]
        return cls(
            {n: torch.cat([chain.samples[n] for chain in chains]) for n in first.samples},
            first.layout,
            {n: torch.cat([chain.fields[n] for chain in chains]) for n in first.fields},
            Divergences.join(chain.divergences for chain in chains),
            {
                label: {name: x for c in chains for name, x in c.diagnostics[label].items()}
                for label in first.diagnostics
            },
            sum((chain.faults for chain in chains), Counter()),
            stopped,
            tuple(end for chain in chains for end in chain.ends),
        )

    def followed_by(self, later: RunResult) -> RunResult:
        """Return the draws of a run and of its continuation, one after another."""
        _, num_draws = self.shape
        shifted = later.divergences._replace(draw=later.divergences.draw + num_draws)
        fields = {n: torch.cat([x, later.fields[n]], 1) for n, x in self.fields.items()}
        return replace(
            later,
            samples={n: torch.cat([x, later.samples[n]], 1) for n, x in self.samples.items()},
            fields=fields,
            divergences=Divergences.join([self.divergences, shifted]),
            diagnostics=chain_diagnostics(fields),
            faults=self.faults + later.faults,
        )


def chain_diagnostics(fields: Samples, first: int = 0) -> dict[str, dict[str, Any]]:
    """Return the indices of divergent draws and the mean acceptance probability of each chain."""
    rates = fields["accept_prob"].mean(-1).tolist()
    divergent = [row.nonzero().flatten().tolist() for row in fields["diverging"]]
    return {
        "divergences": {f"chain {i}": draws for i, draws in enumerate(divergent, first)},
        "acceptance rate": {f"chain {i}": rate for i, rate in enumerate(rates, first)},
    }


def warn_if_empty(layout: Layout) -> None:
    """Warn that the draws are of nothing."""
    if not layout.names:
        warn(
            "the model has no continuous latent sites, so there is nothing to sample: all of them "
            "are observed or summed out; the draws are empty"
        )


def most_draws(parts: Sequence[Part], length: Callable[[Part], int]) -> tuple[list[Part], int]:
    """Return the parts of a run, and a number of draws that each has, with the most draws in all.

    In a run that ended early some parts have fewer draws than others, or none.
    """
    lengths = sorted(map(length, parts), reverse=True)
    _, most = max(((n * i, n) for i, n in enumerate(lengths, 1)), default=(0, 0))
    return [part for part in parts if length(part) >= most], most


def _typed(fields: Samples) -> Samples:
    """Give counts and flags their types: they were recorded beside numbers."""
    types = {"diverging": torch.bool, "tree_depth": torch.long, "num_steps": torch.long}
    return {name: x.to(types.get(name, x.dtype)) for name, x in fields.items()}
