"""A progress bar for many chains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import torch

from ppl.infer.mcmc.chains.notices import silenced

if TYPE_CHECKING:
    from ppl.infer.mcmc.chains.chains import Chains

_make_bar: ContextVar[Callable[[int], Any] | None] = ContextVar("ppl_make_bar", default=None)


@contextmanager
def bars_made_by(make_bar: Callable[[int], Any]) -> Iterator[None]:
    """Show progress by what `make_bar` makes of a total, and no notices."""
    token = _make_bar.set(make_bar)
    try:
        with silenced():
            yield
    finally:
        _make_bar.reset(token)


class RemoteBar:
    """The bar of a chain in a process of its own: tells the parent what it would show.

    Args:
        connection: Where ``("progress", (description, number done))`` is sent, now and then.
    """

    PAUSE = 0.1  # seconds

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.n: int = 0
        self._description, self._last = "Warmup", 0.0

    def __enter__(self) -> RemoteBar:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def set_description(self, description: str, refresh: bool = False) -> None:
        """Say what is under way."""
        self._description = description.partition(" ")[0]

    def set_postfix(self, postfix: Mapping[str, Any], refresh: bool = False) -> None:
        """Do nothing: there is one line for all chains."""

    def update(self, num_more: float = 1) -> None:
        """Count."""
        self.n += int(num_more)
        if time.monotonic() - self._last > self.PAUSE:
            self._send()

    def close(self) -> None:
        """Send the last number."""
        self._send()

    def _send(self) -> None:
        self._last = time.monotonic()
        self.connection.send(("progress", (self._description, self.n)))


def progress_bar(total: int, disable: bool) -> Any:
    """Return a bar on stderr; where that is no terminal but a log, a line every ten seconds."""
    make_bar = _make_bar.get()
    if make_bar is not None:
        return make_bar(total)
    from tqdm.auto import tqdm  # which shows widgets in notebooks

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

    def __call__(self, *parts: Chains) -> None:
        """Show where the chains are, all in one or in several parts."""
        if self.disable:
            return
        states = [chains.state for chains in parts]
        warming = any(map(parts[0].sampler.is_warming, states))
        self.bar.set_description("Warmup" if warming else "Sample", refresh=False)
        step_size = torch.cat([state.tuning.step_size for state in states]).median()
        accept_prob = torch.cat([chains.accept_prob for chains in parts]).mean()
        self.bar.set_postfix(
            {
                "step size": f"{float(step_size):.2e}",
                "acc. prob": f"{float(accept_prob):.3f}",
                "divergences": sum(len(chains.record.divergences.draw) for chains in parts),
            },
            refresh=False,
        )
        done = sum(int(state.iteration.sum()) for state in states)
        self.bar.update(done - self.bar.n)
