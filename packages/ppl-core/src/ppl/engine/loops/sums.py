"""Sums of many terms as one operation: a log density is one."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .nodes import CONSTANT, SUM, Node, reachable

MANY = 8  # terms
ADDITIONS = {operator.add, operator.sub, operator.neg}


def join_additions(results: Iterable[Node]) -> None:
    """Change trees of additions, of whose parts nobody else makes use, into sums of many terms.

    The arguments of a sum are a multiset of terms, each a node and its sign, and a number.
    """
    results = list(results)
    nodes = reachable(results)
    uses = Counter(x for node in nodes for x in node.inputs) + Counter(results)
    inner = {
        x
        for node in nodes
        if _adds(node)
        for x in node.inputs
        if _adds(x) and uses[x] == 1 and x.dtype == node.dtype
    }
    for node in nodes:
        if _adds(node) and node not in inner:
            terms, number = _terms(node, inner)
            if terms.total() >= MANY:
                node.target, node.args = SUM, (terms, number)
                node.inputs = [x for x, _ in terms]


def _adds(node: Node) -> bool:
    if node.target not in ADDITIONS or not (node.dtype and node.dtype.is_floating_point):
        return False
    return all(x.dtype == node.dtype for x in node.inputs)


def _terms(root: Node, inner: set[Node]) -> tuple[Counter[tuple[Node, int]], float]:
    """Return the terms of a sum, with how often each is there, and the sum of its numbers."""
    terms: Counter[tuple[Node, int]] = Counter()
    number = 0.0
    todo: list[tuple[Any, int]] = [(root, 1)]
    while todo:
        x, sign = todo.pop()
        if x is root or x in inner:
            first, *rest = x.args
            todo.append((first, -sign if x.target is operator.neg else sign))
            todo += [(y, -sign if x.target is operator.sub else sign) for y in rest]
        elif x.target == CONSTANT and x.literal is not None:
            number += sign * x.literal
        else:
            terms[x, sign] += 1
    return terms, number
