"""How a loop runs whose rounds need each other: one round after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .arguments import Argument, Values, argument
from .kinds import Kinds
from .nodes import Node
from .recurrences import Earlier, Recurrence
from .rounds_operation import Loop, Tensors
from .scan import scan
from .steps import operation

MANY_OPERATIONS = 200  # in all rounds
LoopStep = Callable[[Values], dict[int, Tensor]]  # returns values by kind


class Outside:
    """What a recurrence takes from outside, with the places that are used there.

    Attributes:
        given: By place and input, of all rounds.
        initial: By place and (negative) round.
        used: Places whose values others use.
    """

    def __init__(self, recurrence: Recurrence, kinds: Kinds, results: Collection[Node]) -> None:
        self.given: dict[tuple[int, int], Argument] = {
            (j, k): argument(kinds, x)
            for j, inputs in enumerate(recurrence.inputs)
            for k, x in enumerate(inputs)
            if not isinstance(x, Earlier)
        }
        self.initial: dict[tuple[int, int], Argument] = {
            at: argument(kinds, [x]) for at, x in recurrence.initial.items()
        }
        inside = {x: j for nodes in recurrence.rounds for j, x in enumerate(nodes)}
        others = (node for node in kinds.nodes if node not in inside)
        used = [*results, *(x for node in others for x in node.inputs)]
        self.used: list[int] = sorted({inside[x] for x in used if x in inside})


def by_rounds(recurrence: Recurrence, outside: Outside) -> LoopStep:
    """Return the step that runs the rounds one after another.

    Many of them are one operation, see :mod:`~ppl.engine.loops.scan`; few are run as they are.
    """
    first, num_rounds = recurrence.rounds[0], len(recurrence.rounds)
    slots = _slots(recurrence)
    is_long = num_rounds * len(first) >= MANY_OPERATIONS and _is_regular(recurrence, slots, outside)
    run_rounds = scan if is_long else _one_by_one

    def run(values: Values) -> dict[int, Tensor]:
        fetched = {at: x.fetch(values) for at, x in outside.given.items()}
        given = {at: fetched.pop(at) for at, x in outside.given.items() if x.is_batched}
        shared = {at: x for at, x in fetched.items() if isinstance(x, Tensor)}

        def one_round(
            state: list[Tensor], of_round: list[Tensor], of_all: list[Tensor]
        ) -> tuple[list[Tensor], list[Tensor]]:
            known = {**fetched, **_by(given, of_round), **_by(shared, of_all)}
            earlier = dict(zip(slots, state, strict=True))
            made: list[Tensor] = []
            for j, node in enumerate(first):
                inputs = [
                    (earlier[x.place, x.lag] if x.lag else made[x.place])
                    if isinstance(x, Earlier)
                    else known[j, k]
                    for k, x in enumerate(recurrence.inputs[j])
                ]
                made.append(call(node, inputs))
            new = [made[place] if lag == 1 else earlier[place, lag - 1] for place, lag in slots]
            return new, [made[j] for j in outside.used]

        state = [
            torch.as_tensor(outside.initial[place, -lag].fetch(values)) for place, lag in slots
        ]
        loop = Loop(one_round, num_rounds, len(slots), len(given))
        found = run_rounds(loop, state, list(given.values()), list(shared.values()))
        return {first[j].kind: x for j, x in zip(outside.used, found, strict=True)}

    return run


def _one_by_one(loop: Loop, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
    """Do what :func:`~ppl.engine.loops.scan.scan` does, without an operation for it."""
    outputs, new = [], list(state)
    for r in range(loop.num_rounds):
        new, output = loop.round(new, [x[r] for x in given], list(shared))
        outputs.append(output)
    return [torch.stack(column) for column in zip(*outputs, strict=True)]


def _slots(recurrence: Recurrence) -> list[tuple[int, int]]:
    """Return what rounds need of earlier ones, by place and lag."""
    longest: dict[int, int] = {}
    for inputs in recurrence.inputs:
        for x in inputs:
            if isinstance(x, Earlier) and x.lag > longest.get(x.place, 0):
                longest[x.place] = x.lag
    return [(place, lag + 1) for place in sorted(longest) for lag in range(longest[place])]


def _is_regular(recurrence: Recurrence, slots: list[tuple[int, int]], outside: Outside) -> bool:
    """Whether all states have the shape of the first one, and derivatives where others look."""
    first = recurrence.rounds[0]
    states = [(first[place], recurrence.initial[place, -lag]) for place, lag in slots]
    values = [*(node for node, _ in states), *(first[j] for j in outside.used)]
    return all(x.shape == y.shape and x.dtype == y.dtype for x, y in states) and all(
        x.dtype is not None and x.dtype.is_floating_point for x in values
    )


def _by(places: Mapping[tuple[int, int], Any], values: list[Any]) -> dict[tuple[int, int], Any]:
    return dict(zip(places, values, strict=True))


def call(node: Node, inputs: list[Any]) -> Any:
    """Return what the operation of a node makes of other inputs."""
    remaining: Iterator[Any] = iter(inputs)

    def fill(x: Any) -> Any:
        if isinstance(x, tuple):
            return [fill(y) for y in x]
        return next(remaining) if isinstance(x, Node) else x

    args = [fill(x) for x in node.args]
    return operation(node.target)(*args, **{name: fill(x) for name, x in node.kwargs.items()})
