"""How all members of a kind are computed by one operation."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .arguments import Argument, Values, argument, bundle
from .kinds import Kind, Kinds
from .nodes import JOINS, SUM, VIEWS, Node, runs
from .takes import taking

aten: Any = torch.ops.aten
Step = Callable[[Values], Any]  # returns the value of a kind


def step_of(kinds: Kinds, kind: Kind) -> Step:
    """Return what computes a kind."""
    target = kind.members[0].target
    if target is operator.getitem:
        return _part(kinds, kind)
    if target == SUM:
        return _sum(kinds, kind)
    if target in JOINS:
        return _join(kinds, kind)
    if target is aten.select.int:
        return _select(kinds, kind)
    template = Template([node.args for node in kind.members], kinds)
    named = Template([tuple(node.kwargs.values()) for node in kind.members], kinds, template)
    names = tuple(kind.members[0].kwargs)

    def run(*given: Any) -> Any:
        kwargs = dict(zip(names, named.fill(given), strict=True))
        return operation(target)(*template.fill(given), **kwargs)

    return mapped_over(run, named.arguments, len(kind))


def operation(target: Any) -> Callable[..., Any]:
    """Return a function that may be called with tensors of any memory layout."""
    return torch.reshape if target in VIEWS else target


def mapped_over(run: Callable[..., Any], arguments: Sequence[Argument], num: int) -> Step:
    """Return the step that applies a function to the arguments of each of `num` members."""

    def given(values: Values) -> list[Any]:
        return [x.fetch(values) for x in arguments]

    if num == 1:
        return lambda values: run(*given(values))
    together = torch.func.vmap(run, tuple(0 if x.is_batched else None for x in arguments))
    return lambda values: together(*given(values))


class Template:
    """The arguments of an operation, with places for what its nodes give.

    Args:
        rows: The arguments of each member.
        kinds: All kinds.
        before: A template whose arguments come first.

    Attributes:
        arguments: What is given to :meth:`fill`.
    """

    def __init__(
        self, rows: Sequence[tuple[Any, ...]], kinds: Kinds, before: Template | None = None
    ) -> None:
        self.arguments: list[Argument] = [] if before is None else before.arguments
        self._kinds = kinds
        self._parts = [self._part([row[i] for row in rows]) for i in range(len(rows[0]))]

    def _part(self, column: list[Any]) -> Callable[[Sequence[Any]], Any]:
        first = column[0]
        if isinstance(first, Node):
            place = len(self.arguments)
            self.arguments.append(argument(self._kinds, column))
            return lambda given: given[place]
        if isinstance(first, tuple):
            parts = [self._part([row[i] for row in column]) for i in range(len(first))]
            return lambda given: [part(given) for part in parts]
        return lambda given: first

    def fill(self, given: Sequence[Any]) -> list[Any]:
        """Return the arguments of the operation for one member."""
        return [part(given) for part in self._parts]


def _part(kinds: Kinds, kind: Kind) -> Step:
    """Return one of the results of operations with several."""
    (whole, i), num = kind.members[0].args, len(kind)
    source = kinds.kind_of(whole)
    places = [source.places[node.args[0]] for node in kind.members]
    if len(source) == 1:
        return lambda values: values[whole.kind][i]
    if num == 1:
        return lambda values: values[whole.kind][i][places[0]]
    take = taking(places, len(source))
    return lambda values: take(values[whole.kind][i])


def _select(kinds: Kinds, kind: Kind) -> Step:
    first = kind.members[0]
    source, dim = argument(kinds, [node.args[0] for node in kind.members]), first.args[1]
    size = first.args[0].shape[dim]
    index = [node.args[2] % size for node in kind.members]
    if not source.is_batched and len(index) > 1:
        take = taking(index, size)
        return lambda values: take(source.fetch(values).movedim(dim, 0))
    if len(set(index)) == 1:
        return mapped_over(lambda x: x.select(dim, index[0]), [source], len(kind))
    rows = torch.tensor(index, device=first.device)[:, None]
    each = Argument(lambda values: rows, True)
    return mapped_over(lambda x, i: x.index_select(dim, i).squeeze(dim), [source, each], len(kind))


def _join(kinds: Kinds, kind: Kind) -> Step:
    """Return concatenations and stacks, whose parts of one kind are made together."""
    first = kind.members[0]
    is_stack = first.target is aten.stack.default
    dim = (first.args[1] if len(first.args) > 1 else 0) % len(first.shape)
    pieces = first.args[0]
    is_even = len({x.shape for x in pieces}) == 1
    order = sorted(range(len(pieces)), key=lambda i: pieces[i].kind if is_even else i)
    parts, start = [], 0
    for _, num in runs(pieces[i].kind for i in order):
        some = order[start : start + num]
        parts.append(bundle(kinds, [[node.args[0][i] for i in some] for node in kind.members]))
        start += num
    take = taking(sorted(order, key=order.__getitem__), len(order))  # back in the order of the join

    def run(*given: Tensor) -> Tensor:
        if not is_even:
            return torch.cat([x.movedim(0, dim).flatten(dim, dim + 1) for x in given], dim)
        joined = take(given[0] if len(given) == 1 else torch.cat(given)).movedim(0, dim)
        return joined if is_stack else joined.flatten(dim, dim + 1)

    return mapped_over(run, parts, len(kind))


def _sum(kinds: Kinds, kind: Kind) -> Step:
    """Return sums: of each kind of terms at once, and then of these."""
    first, num = kind.members[0], len(kind)
    groups = [_terms_by_kind(kinds, node) for node in kind.members]
    arguments: list[Argument] = []
    parts: list[Callable[[Sequence[Any]], Tensor]] = []
    for group in groups[0]:
        terms = bundle(kinds, [[x for x, _ in rows[group]] for rows in groups])
        counts = torch.tensor(
            [[count for _, count in rows[group]] for rows in groups],
            dtype=first.dtype,
            device=first.device,
        )
        parts.append(_weighted(len(arguments), counts, group[1]))
        arguments += [terms, _of_rows(counts)]
    numbers = torch.tensor([node.args[1] for node in kind.members], dtype=first.dtype)
    place = len(arguments)
    if numbers.any():
        arguments.append(_of_rows(numbers.to(first.device)))
        parts.append(lambda given: given[place])

    def run(*given: Any) -> Tensor:
        total, *others = (part(given) for part in parts)
        for x in others:
            total = total + x
        return total.expand(first.shape)

    return mapped_over(run, arguments, num)


def _terms_by_kind(kinds: Kinds, node: Node) -> dict[tuple[int, int], list[tuple[Node, int]]]:
    """Return the terms of a sum and how often each is there, by kind and sign."""
    found = defaultdict(list)
    for (x, sign), count in node.args[0].items():
        found[x.kind, sign].append((x, count))
    for terms in found.values():
        terms.sort(key=lambda term: _place(kinds, term[0]))
    return found


def _place(kinds: Kinds, node: Node) -> int:
    return kinds.kind_of(node).places[node] if node.kind in kinds.by_number else node.place


def _weighted(place: int, counts: Tensor, sign: int) -> Callable[[Sequence[Any]], Tensor]:
    """Return the sum of terms along the first dimension, each as often as it is there."""
    is_once = bool((counts == 1).all())

    def total(given: Sequence[Any]) -> Tensor:
        x: Tensor = given[place]
        if not is_once:
            x = x * given[place + 1].reshape(-1, *[1] * (x.dim() - 1))
        x = x[0] if len(x) == 1 else x.sum(0)
        return x if sign == 1 else -x

    return total


def _of_rows(rows: Tensor) -> Argument:
    """Return an argument of which each member has a row, or all of them the same one."""
    if bool((rows == rows[:1]).all()):
        return Argument(lambda values: rows[0], False)
    return Argument(lambda values: rows, True)
