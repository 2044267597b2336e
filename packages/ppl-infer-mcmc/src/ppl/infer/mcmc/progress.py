"""A progress bar for many chains."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.recording import FIELDS, Trail


def progress_bar(total: int, disable: bool) -> Any:
    """Return a bar on stderr; where that is no terminal but a log, a line every ten seconds."""
    pause = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, desc="Warmup", file=sys.stderr, disable=disable, mininterval=pause)


class Progress:
    """Shows the transitions done by all chains together, on stderr.

    Args:
        num_chains: How many chains run.
        num_iterations: Transitions of each chain.
        disable: Whether nothing is shown.
    """

    def __init__(self, num_chains: int, num_iterations: int, disable: bool = False) -> None:
        total = num_chains * num_iterations
        self.disable = disable
        self.bar = progress_bar(total, disable)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.bar.close()

    def __call__(self, chains: Chains) -> None:
        """Show where the chains are."""
        if self.disable or chains.trail is None:
            return
        warming = chains.sampler.is_warming(chains.state)
        self.bar.set_description("Warmup" if warming else "Sample", refresh=False)
        self.bar.set_postfix(
            {
                "step size": f"{float(chains.state.tuning.step_size.median()):.2e}",
                "acc. prob": f"{_mean_accept_prob(chains.trail):.3f}",
                "divergences": int(chains.record.field("diverging").sum()),
            },
            refresh=False,
        )
        self.bar.update(int(chains.state.iteration.sum()) - self.bar.n)


def _mean_accept_prob(trail: Trail) -> float:
    return float(trail.fields[trail.finished][:, FIELDS.index("accept_prob")].mean())
