"""The arguments of each step of a fit, from an iterable of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, warn
from ppl.randomness import get_rng_state, set_rng_state

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
State = dict[str, Any]


class Batches:
    """Goes through an iterable of batches again and again, and can go on where it was.

    Args:
        batches: An iterable, such as a ``DataLoader``. A batch is a tensor, a tuple or list of
            arguments, or a mapping of arguments by keyword.
        args: Further arguments, after those of the batch.
        kwargs: The same by keyword.
    """

    def __init__(
        self, batches: Iterable[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not isinstance(batches, Iterable) or isinstance(batches, Tensor):
            raise ArgumentError(
                "batches must be an iterable of batches, such as a DataLoader, got "
                f"{type(batches).__name__}; pass a tensor as an argument of the model"
            )
        self._batches, self._args, self._kwargs = batches, args, dict(kwargs)
        self._iterator: Iterator[Any] | None = None
        self._start: State = {}  # of the generators, before this pass
        self._position = self._rows_seen = 0
        self._last: Arguments | None = None
        self.num_rows: int | None = _sized_rows(batches)

    def example(self) -> Arguments:
        """Return the arguments of some step, the last one if there was any.

        An iterator that goes through once loses its first batch.
        """
        if self._last is None:
            self._last = self._with_others(next(iter(self._batches)))
        return self._last

    def next(self) -> Arguments | None:
        """Return the arguments of the next step; None if an iterator has ended."""
        if self._iterator is None:
            self._begin()
        assert self._iterator is not None
        found = next(self._iterator, self)
        if found is self:
            return self._after_a_pass()
        self._position += 1
        self._rows_seen += rows_of(*_arguments(found)) or 0
        self._last = self._with_others(found)
        return self._last

    def _with_others(self, batch: Any) -> Arguments:
        args, kwargs = _arguments(batch)
        return (*args, *self._args), {**kwargs, **self._kwargs}

    def state(self) -> State:
        """Return what is needed to go on: how many batches of this pass were taken, from where."""
        return {"start": self._start, "position": self._position}

    def restore(self, state: State) -> None:
        """Go on where a state was taken; the generators are left as they were at its start."""
        if not state["start"]:
            return
        set_rng_state(state["start"]["global"])
        if state["start"].get("own") is not None:
            self._batches.generator.set_state(state["start"]["own"])  # type: ignore[attr-defined]
        for _ in range(state["position"]):
            self.next()

    def _begin(self) -> None:
        own = getattr(self._batches, "generator", None)  # of a DataLoader
        own_state = own.get_state() if isinstance(own, torch.Generator) else None
        self._start = {"global": get_rng_state(), "own": own_state}
        self._iterator = iter(self._batches)
        self._position = self._rows_seen = 0

    def _after_a_pass(self) -> Arguments | None:
        if self._position == 0:
            raise ArgumentError("batches is empty, or it was an iterator that has ended already")
        if self.num_rows is None:
            self.num_rows = self._rows_seen
        if iter(self._batches) is self._batches:
            return None  # it goes through once
        self._iterator = None
        return self.next()


class PlateSizes:
    """Warns once if the size of a plate contradicts the number of rows."""

    def __init__(self) -> None:
        self._is_checked = False

    def check(self, model: Any, arguments: Arguments, num_rows: int | None) -> None:
        """Compare the plates of a model with the rows of all batches, once they are known."""
        rows = rows_of(*arguments)
        if self._is_checked or num_rows is None or rows is None:
            return
        self._is_checked = True
        found = get_rng_state()
        with torch.no_grad(), poutine.block():
            trace = poutine.trace(model).get_trace(*arguments[0], **arguments[1])
        set_rng_state(found)
        for name in trace.observation_nodes:
            frames = [f for f in trace.nodes[name]["cond_indep_stack"] if f.vectorized]
            sizes = {f.name: f.full_size or f.size for f in frames if f.size == rows}
            if sizes and num_rows not in sizes.values():
                plate, size = next(iter(sizes.items()))
                warn(
                    f"site {name!r}: plate {plate!r} has size {size}, but the batches have "
                    f"{num_rows} rows in all, so the data weigh {size / num_rows:.3g} times what "
                    f"they should; use plate({plate!r}, {num_rows}, subsample_size=len(batch))"
                )
                return


def rows_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """Return the length of the first tensor of a batch; None if there is none."""
    tensors = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.dim())
    first = next(tensors, None)
    return None if first is None else len(first)


def _sized_rows(batches: Any) -> int | None:
    """Return the rows of the data set of a DataLoader; None where they are to be counted."""
    try:
        return len(batches.dataset)
    except (AttributeError, TypeError):
        return None


def _arguments(batch: Any) -> Arguments:
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch), {}) if isinstance(batch, (tuple, list)) else ((batch,), {})
