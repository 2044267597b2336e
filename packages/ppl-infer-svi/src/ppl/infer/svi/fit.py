"""Many gradient steps: with batches, checkpoints, a history, and reasons to stop."""

from __future__ import annotations

import math
import os
import sys
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import FileFormatError, NotFiniteError, PPLError, warn
from ppl.infer.arguments import positive_int
from ppl.primitives import get_param_store
from ppl.randomness import get_rng_state, set_rng_state

from . import fit_checkpoint as checkpoints
from .batches import Arguments, Batches, PlateSizes
from .early_stopping import EarlyStopping
from .fit_result import FitResult, Reason
from .leaves import leaves_behind
from .whole_step import for_fit

if TYPE_CHECKING:
    from .svi import SVI

Callback = Callable[[int, float], Any]
OF_EACH_PROCESS = ("generators", "batches")
MAX_SKIPPED = 100  # steps in a row
SHOWN = 100  # steps between two means of the loss that the bar shows
MOST_AT_ONCE = 500  # steps without Python between them


class Fit:
    """A fit under way; see :meth:`SVI.fit` for the arguments."""

    def __init__(
        self,
        svi: SVI,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        batches: Iterable[Any] | None = None,
        early_stopping: EarlyStopping | bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1000,
        callback: Callback | None = None,
        disable_progbar: bool = False,
    ) -> None:
        self._svi, self._same = svi, (args, kwargs)
        self._batches = None if batches is None else Batches(batches, args, kwargs)
        self._stopping = EarlyStopping() if early_stopping is True else early_stopping or None
        self._path, self._callback = checkpoint, callback
        self._every: int = positive_int("checkpoint_every", checkpoint_every)
        self._disable_progbar = disable_progbar
        self._sizes = PlateSizes()
        self._losses = array("d")
        self._leaves: dict[str, Tensor] = {}
        self._num_skipped, self._num_in_a_row, self._culprit = 0, 0, ""

    def run(self, num_steps: int) -> FitResult:
        """Take steps until there are so many, or there is a reason to stop."""
        self._whole = for_fit(num_steps, self._svi)
        if self._path is not None and Path(self._path).exists():
            self._resume(self._path)
        reason: Reason = "interrupted"
        with _bar(num_steps, len(self._losses), self._disable_progbar) as bar:
            try:
                reason = self._steps(num_steps, bar)
            except KeyboardInterrupt:
                warn(f"the fit was interrupted after {len(self._losses)} steps")
        if self._path is not None and reason != "interrupted":
            self._save(self._path)
        if self._num_skipped:
            warn(
                f"{self._num_skipped} of {len(self._losses)} steps were skipped since loss or "
                f"gradient was not finite, the first at {self._culprit}"
            )
        losses = torch.tensor(self._losses, dtype=torch.float64)
        return FitResult(losses, self._params(), self._num_skipped, reason)

    def _params(self) -> dict[str, Tensor]:
        """Return the constrained values; those of modules that the store does not know are run."""
        known = dict(get_param_store().items())
        if not self._leaves.keys() <= known.keys():
            known |= {name: node["value"] for name, node in self._parameters().items()}
        return {name: known[name].detach().clone() for name in self._leaves}

    def _steps(self, num_steps: int, bar: Any) -> Reason:
        while len(self._losses) < num_steps:
            if self._stopping is not None and self._stopping.should_stop(self._losses):
                return "converged"
            arguments = self._same if self._batches is None else self._batches.next()
            if arguments is None:
                return "batches"
            number = self._step(arguments, self._room(num_steps))
            self._show(bar, number)
            if self._callback is not None:
                self._callback(len(self._losses), self._losses[-1])
            if self._path is not None and len(self._losses) % self._every == 0:
                self._save(self._path)
        return "steps"

    def _room(self, num_steps: int) -> int:
        """Return how many steps there may be before something else is to be done."""
        if self._callback is not None or self._batches is not None:
            return 1
        done = len(self._losses)
        rooms = [MOST_AT_ONCE, num_steps - done]
        rooms += [self._every - done % self._every] if self._path is not None else []
        rooms += [s.window - done % s.window for s in [self._stopping] if s is not None]
        return min(rooms)

    def _step(self, arguments: Arguments, most: int) -> int:
        """Take a step, or more if that is possible, and return how many."""
        if self._batches is not None:
            self._sizes.check(self._svi.model, arguments, self._batches.num_rows)
        before = torch.get_rng_state()
        try:
            losses, bad = self._at_once(arguments, most) or self._by_handlers(arguments)
        except NotFiniteError as error:
            losses, bad = [math.nan], f"site {error.site!r}" if error.site else str(error)
        self._losses.extend(losses)
        if bad is None:
            self._num_in_a_row = 0
        else:
            self._skip(bad, arguments, before)
        return len(losses)

    def _at_once(self, arguments: Arguments, most: int) -> tuple[list[float], str | None] | None:
        """Take steps as one program; None where there is none."""
        if self._whole is None:
            return None
        taken = self._whole.take(*arguments, self._leaves, most)
        return taken and (taken.losses, None if taken.is_taken else "the loss or its gradient")

    def _by_handlers(self, arguments: Arguments) -> tuple[list[float], str | None]:
        loss, self._leaves = self._svi._gradients(*arguments)
        bad = _not_finite(loss, self._leaves)
        if bad is None:
            self._svi._update(self._leaves)
        return [loss], bad

    def _skip(self, bad: str, arguments: Arguments, before: Tensor) -> None:
        for leaf in self._leaves.values():
            leaf.grad = None
        if self._num_skipped == 0:
            self._culprit = _first_site(self._svi, arguments, before) or bad
        self._num_skipped += 1
        self._num_in_a_row += 1
        if self._num_in_a_row == MAX_SKIPPED:
            raise NotFiniteError(
                f"loss or gradient were not finite in {MAX_SKIPPED} steps in a row, the first time "
                f"at {self._culprit}; look for logs of 0, for divisions by 0 and for nan in the "
                "data, or use a smaller learning rate"
            )

    def _show(self, bar: Any, number: int) -> None:
        if len(self._losses) % SHOWN < number:
            last = self._losses[-SHOWN:]
            bar.set_postfix({"loss": f"{sum(last) / len(last):.4g}"}, refresh=False)
        bar.update(number)

    def _save(self, path: str | os.PathLike[str]) -> None:
        processes, contents = self._svi._processes, self.contents()
        if processes is not None:  # each has generators and batches of its own
            own = {name: contents[name] for name in OF_EACH_PROCESS}
            contents["processes"] = processes.gather(own)
        if processes is None or processes.rank == 0:
            checkpoints.write(path, contents)
        if processes is not None:
            processes.wait()

    def _resume(self, path: str | os.PathLike[str]) -> None:
        processes, contents = self._svi._processes, checkpoints.read(path)
        own = contents.get("processes", [])
        number = 0 if processes is None else processes.number
        if len(own) != number:
            raise FileFormatError(
                f"{os.fspath(path)!r} is the checkpoint of {len(own) or 1} processes, and here are "
                f"{number or 1}; start as many"
            )
        self.restore({**contents, **(own[processes.rank] if processes else {})}, os.fspath(path))

    def contents(self) -> checkpoints.Contents:
        """Return everything from which a fit goes on."""
        progress = {
            "losses": torch.tensor(self._losses, dtype=torch.float64),
            "num_skipped": self._num_skipped,
            "culprit": self._culprit,
            "generators": get_rng_state(),
            "batches": None if self._batches is None else self._batches.state(),
        }
        return checkpoints.contents_of(self._leaves, self._svi.optim, progress)

    def restore(self, contents: checkpoints.Contents, source: str = "what was kept") -> None:
        """Go on where :meth:`contents` was called."""
        self._leaves = leaves_behind(self._parameters())
        checkpoints.restore(source, contents, self._leaves, self._svi.optim)
        self._losses = array("d", contents["losses"].tolist())
        self._num_skipped, self._culprit = contents["num_skipped"], contents["culprit"]
        if self._batches is not None and contents["batches"] is not None:
            self._batches.restore(contents["batches"])
        set_rng_state(contents["generators"])

    def _parameters(self) -> dict[str, Any]:
        arguments = self._same if self._batches is None else self._batches.example()
        return self._svi._parameters(*arguments)


def _not_finite(loss: float, leaves: dict[str, Tensor]) -> str | None:
    """Say what is not finite: the gradient of a parameter, or the loss; None if all is well."""
    for name, leaf in leaves.items():
        if leaf.grad is not None and not bool(leaf.grad.isfinite().all()):
            return f"the gradient of parameter {name!r}"
    return None if math.isfinite(loss) else "the loss"


def _first_site(svi: SVI, arguments: Arguments, before: Tensor) -> str | None:
    """Return the first site of a step whose value or log density is not finite."""
    found = get_rng_state()
    torch.set_rng_state(before)
    args, kwargs = arguments
    try:
        with torch.no_grad(), poutine.block():
            guide = poutine.trace(svi.guide).get_trace(*args, **kwargs)
            replayed = poutine.replay(svi.model, trace=guide)
            model = poutine.trace(replayed).get_trace(*args, **kwargs)
            for trace in (guide, model):
                trace.compute_log_prob()
    except (PPLError, ValueError) as error:
        site = getattr(error, "site", None)
        return None if site is None else f"site {site!r}"
    finally:
        set_rng_state(found)
    for trace in (guide, model):
        for name in trace.stochastic_nodes + trace.observation_nodes:
            if not bool(trace.nodes[name]["log_prob"].isfinite().all()):
                return f"site {name!r}"
    return None


def _bar(num_steps: int, initial: int, disable: bool) -> Any:
    """Return a bar on stderr; where that is no terminal but a log, a line every ten seconds."""
    from tqdm.auto import tqdm  # which shows widgets in notebooks

    pause = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=num_steps,
        initial=initial,
        desc="SVI",
        file=sys.stderr,
        disable=disable,
        mininterval=pause,
    )
