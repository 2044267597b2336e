"""What a trace is made of: operations, constants and parts of the position, each there once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...errors import PPLError

aten: Any = torch.ops.aten
T = TypeVar("T")

POSITION, LEAF, CONSTANT, SUM = "position", "leaf", "constant", "sum"  # targets of no operation
SOURCES = {POSITION, LEAF, CONSTANT}
ARITHMETIC: dict[Any, Any] = {  # where a number may as well be a tensor
    aten.add.Tensor: operator.add,
    aten.sub.Tensor: operator.sub,
    aten.mul.Tensor: operator.mul,
    aten.div.Tensor: operator.truediv,
    aten.rsub.Scalar: operator.sub,
    aten.neg.default: operator.neg,
}
JOINS = {aten.cat.default, aten.stack.default}
VIEWS = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}


class DeclinedError(PPLError, RuntimeError):
    """The loops of a function cannot be batched: the message says why."""


class Node:
    """One operation of a trace: equal operations on equal inputs are one node.

    Attributes:
        target: The operation, or one of the words above.
        args: Its arguments, nodes among them; lists are tuples.
        kwargs: Its keyword arguments.
        like: A tensor without memory of the shape and dtype of the result, on its device; None if
            there are several results.
        place: Where it is in the order of the program.
        value: Of a constant, a tensor.
        literal: Of a constant, the number that it was in the program.
        inputs: The nodes among the arguments.
        kind: The number of what it does, see :mod:`~ppl.engine.loops.signatures`.
    """

    __slots__ = (
        "args",
        "device",
        "dtype",
        "inputs",
        "kind",
        "kwargs",
        "literal",
        "place",
        "shape",
        "target",
        "value",
    )

    def __init__(
        self,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor | None,
        place: int,
    ) -> None:
        self.args: tuple[Any, ...]
        self.kwargs: dict[str, Any]
        self.place: int
        self.target: Any
        self.target, self.args, self.kwargs, self.place = target, args, kwargs, place
        self.shape: torch.Size = torch.Size() if result is None else result.shape
        self.dtype: torch.dtype | None = None if result is None else result.dtype
        self.device: torch.device | None = None if result is None else result.device
        self.inputs: list[Node] = list(nodes_in((args, tuple(kwargs.values()))))
        self.value: Tensor = torch.empty(0)
        self.literal: float | None = None
        self.kind: int = -1


def nodes_in(arguments: Iterable[Any]) -> Iterator[Node]:
    """Yield the nodes among nested arguments."""
    for x in arguments:
        if isinstance(x, Node):
            yield x
        elif isinstance(x, tuple):
            yield from nodes_in(x)


def mapped(x: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested arguments with each changed; lists become tuples."""
    if isinstance(x, (list, tuple)):
        return tuple([mapped(y, change) for y in x])
    return change(x)


def reachable(results: Iterable[Node]) -> list[Node]:
    """Return the nodes that results are computed from, in the order of the program."""
    todo = list(results)
    found = set(todo)
    while todo:
        for node in todo.pop().inputs:
            if node not in found:
                found.add(node)
                todo.append(node)
    return sorted(found, key=lambda node: node.place)


def runs(items: Iterable[T]) -> list[tuple[T, int]]:
    """Return items with how often each comes in a row.

    >>> runs("aab")
    [('a', 2), ('b', 1)]
    """
    found: list[tuple[T, int]] = []
    for item in items:
        if found and found[-1][0] == item:
            found[-1] = item, found[-1][1] + 1
        else:
            found.append((item, 1))
    return found
