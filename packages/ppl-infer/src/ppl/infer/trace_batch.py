"""Many executions of a program that were run all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.validation import validation_enabled

Model = Callable[..., Any]
Values = dict[str, Tensor]


class TraceBatch(Sequence[poutine.Trace]):
    """A sequence of traces, each made only when it is looked at: by a replay of the program.

    Args:
        number: How many traces.
        model: The program.
        values: The values of its sample sites, each of shape ``(trace, *site)``, and under
            ``"_RETURN"`` what it returned, if that is a tensor.
        params: The values that its parameters had.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """

    def __init__(
        self,
        number: int,
        model: Model,
        values: Values,
        params: Values,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.values: Values = {name: x.detach() for name, x in values.items()}
        self._number, self._model, self._params = number, model, params
        self._args, self._kwargs = args, kwargs

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> poutine.Trace: ...

    @overload
    def __getitem__(self, index: slice) -> list[poutine.Trace]: ...

    def __getitem__(self, index: int | slice) -> poutine.Trace | list[poutine.Trace]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} traces, got index {index}")
        return self._replay({name: x[index] for name, x in self.values.items()})

    def map(self, fn: Callable[[poutine.Trace], Values]) -> Values:
        """Return what a function finds in each trace, stacked along a first dimension."""
        with torch.no_grad(), validation_enabled(False):
            many = torch.func.vmap(lambda x: fn(self._replay(x)), randomness="different")
            found: Values = many(self.values)
        return found

    def _replay(self, values: Values) -> poutine.Trace:
        recorded = poutine.Trace()
        for name, value in values.items():
            if name == "_RETURN":
                continue
            recorded.add_node(name, type="sample", value=value, is_observed=False, infer={})
        with poutine.block():
            replayed = poutine.replay(self._model, trace=recorded, params=self._params)
            trace: poutine.Trace = poutine.trace(replayed).get_trace(*self._args, **self._kwargs)
        if "_RETURN" in values:  # which noise outside of all sites may have changed
            trace.nodes["_RETURN"]["value"] = values["_RETURN"]
        return trace


def values_in(trace: poutine.Trace) -> Values:
    """Return the values of the sample sites, and what the program returned if it is a tensor."""
    nodes = trace.nodes.items()
    values = {name: site["value"] for name, site in nodes if site["type"] == "sample"}
    returned = trace.nodes["_RETURN"]["value"]
    return {**values, "_RETURN": returned} if isinstance(returned, Tensor) else values


def params_in(trace: poutine.Trace) -> Values:
    """Return copies of the values of the parameters: optimizers change these in place."""
    return {name: trace.nodes[name]["value"].detach().clone() for name in trace.param_nodes}
