"""What operations have in common: equal signatures mean equal trees down to the constants.

Nodes with one signature are of one *kind*: they do the same to other inputs.  They have the same
depth, so none of them depends on another, and all of them can run at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from .nodes import CONSTANT, JOINS, LEAF, SOURCES, SUM, Node, mapped, runs

aten: Any = torch.ops.aten
Rounds = list[list[Node]]  # of a loop; what comes first in one round comes first in all
FEW_VALUES, OFTEN = 4, 8  # of an input that many nodes have in common


def sign(nodes: Sequence[Node], loops: Iterable[Rounds]) -> None:
    """Give each node the number of its kind.

    Nodes in the same place of the rounds of a loop are of one kind.

    Args:
        nodes: In the order of the program.
        loops: Rounds that were found, see :mod:`~ppl.engine.loops.recurrences`.
    """
    given = {
        node: ("loop", i, j)
        for i, rounds in enumerate(loops)
        for in_round in rounds
        for j, node in enumerate(in_round)
    }
    _number(nodes, given, {})
    told = _few_values(nodes)
    if told:
        _number(nodes, given, told)


def _number(nodes: Sequence[Node], given: dict[Node, Any], told: dict[Node, set[int]]) -> None:
    """Number the signatures; the inputs in the `told` places are parts of them, as they are."""
    numbers: dict[Any, int] = {}
    for node in nodes:
        found = given.get(node)
        if found is None:
            found = signature(node)
            if node in told:
                found = found, tuple(node.inputs[j].place for j in sorted(told[node]))
        node.kind = numbers.setdefault(found, len(numbers))


def signature(node: Node) -> Any:
    """Return what a node does to the kinds of its inputs."""
    result = node.shape, node.dtype, node.device
    target, args = node.target, node.args
    if target in (LEAF, CONSTANT):
        return target, result
    if target == SUM:
        terms = Counter((x.kind, sign) for x, sign in args[0])
        return SUM, result, tuple(sorted(terms.items()))
    if target is aten.select.int:  # at whatever index
        return target, args[0].kind, args[1]
    if target in JOINS:
        return target, tuple(runs(x.kind for x in args[0])), args[1:]
    return target, mapped(args, _kind), _named(node, _kind), result


def own_signature(node: Node) -> Any:
    """Return what a node does, whatever its inputs are."""
    args = mapped(node.args, _any)
    return node.target, args, _named(node, _any), node.shape, node.dtype, node.device


def _named(node: Node, change: Any) -> Any:
    return tuple((name, mapped(x, change)) for name, x in node.kwargs.items())


def _kind(x: Any) -> Any:
    return x.kind if isinstance(x, Node) else repr(x)


def _any(x: Any) -> Any:
    return Node if isinstance(x, Node) else repr(x)


def _few_values(nodes: Sequence[Node]) -> dict[Node, set[int]]:
    """Return the places of inputs that are few nodes, each of which many nodes of a kind have.

    ``a * y[t - 1]`` and ``b * y[t - 2]`` are two kinds, each with one factor, instead of one kind
    that looks up whether it is ``a`` or ``b``.
    """
    kinds = defaultdict(list)
    for node in nodes:
        if node.target not in SOURCES | {SUM} | JOINS:
            kinds[node.kind].append(node)
    found: dict[Node, set[int]] = defaultdict(set)
    for members in kinds.values():
        for j in range(len(members[0].inputs) if len(members) >= OFTEN else 0):
            values = {node.inputs[j] for node in members}
            is_few = 1 < len(values) <= FEW_VALUES and len(members) >= OFTEN * len(values)
            if is_few and members[0].inputs[j].target != CONSTANT:
                for node in members:
                    found[node].add(j)
    return found
