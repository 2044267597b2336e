"""Where an operation on all members of a kind finds what each of them takes in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .kinds import Kinds
from .nodes import CONSTANT, LEAF, Node
from .takes import taking

Values = dict[int, Tensor]  # by kind: of many members, along the first dimension


class Argument(NamedTuple):
    """How to get an argument.

    Attributes:
        fetch: Returns it, a tensor or a number, given the values that are there.
        is_batched: Whether each member has its own, along the first dimension.
    """

    fetch: Callable[[Values], Any]
    is_batched: bool


def argument(kinds: Kinds, nodes: Sequence[Node]) -> Argument:
    """Return how to get the values of nodes, one for each member of a kind."""
    first = nodes[0]
    if all(x is first for x in nodes):
        if first.literal is not None:
            return Argument(lambda values: first.literal, False)
        return Argument(_single(kinds, first), False)
    if all(x.target == CONSTANT for x in nodes):
        constants = torch.stack([x.value for x in nodes])
        return Argument(lambda values: constants, True)
    if any(x.kind != first.kind for x in nodes):
        singles = [_single(kinds, x) for x in nodes]
        return Argument(lambda values: torch.stack([one(values) for one in singles]), True)
    if first.target == LEAF and (span := _span(nodes)):
        position = first.args[1].kind
        shape = len(nodes), *first.shape
        return Argument(lambda values: values[position][span].reshape(shape), True)
    kind = kinds.kind_of(first)
    take = taking([kind.places[x] for x in nodes], len(kind))
    return Argument(lambda values: take(values[first.kind]), True)


def _span(leaves: Sequence[Node]) -> slice | None:
    """Return the slice of the position that parts of it are, one after another; None if none is."""
    size, starts = leaves[0].shape.numel(), [x.args[0] for x in leaves]
    step = starts[1] - starts[0]
    is_even = starts == list(range(starts[0], starts[0] + len(starts) * step, step or 1))
    if step < 1 or not is_even or (size > 1 and step != size):
        return None
    return slice(starts[0], starts[-1] + size, step if size == 1 else 1)


def bundle(kinds: Kinds, rows: Sequence[Sequence[Node]]) -> Argument:
    """Return how to get several nodes of one kind for each member, along one more dimension."""
    num_rows, num_nodes = len(rows), len(rows[0])
    is_shared = all(list(row) == list(rows[0]) for row in rows)
    flat = list(rows[0]) if is_shared else [x for row in rows for x in row]
    found = argument(kinds, flat)

    def fetch(values: Values) -> Tensor:
        x: Tensor = found.fetch(values)
        if not found.is_batched:  # the same everywhere
            x = torch.as_tensor(x, dtype=flat[0].dtype, device=flat[0].device)
            x = x.expand(len(flat), *flat[0].shape)
        return x

    if is_shared:
        return Argument(fetch, False)
    return Argument(lambda values: fetch(values).unflatten(0, (num_rows, num_nodes)), True)


def _single(kinds: Kinds, node: Node) -> Callable[[Values], Tensor]:
    if node.target == CONSTANT:
        return lambda values: node.value
    kind, number = kinds.kind_of(node), node.kind
    place = kind.places[node]
    if len(kind) == 1:
        return lambda values: values[number]
    return lambda values: values[number][place]
