"""Loops whose rounds need what the round before them has computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import torch
from torch import Tensor

from .nodes import SOURCES, SUM, Node
from .signatures import Rounds, own_signature

FEWEST_ROUNDS, LONGEST_ROUND = 8, 400  # the latter in operations


@dataclass(frozen=True)
class Earlier:
    """An input that is the value in a place of the round `lag` rounds before."""

    place: int
    lag: int


@dataclass(eq=False)
class Recurrence:
    """The rounds of a loop, and what each takes from the others.

    Attributes:
        rounds: Nodes by round and place.
        inputs: By place and input: what it is of another round or, where it comes from outside, the
            nodes that it is, by round.
        initial: The nodes that stand for values before the first round, by place and (negative)
            round.
    """

    rounds: Rounds
    inputs: list[list[Earlier | list[Node]]] = field(default_factory=list)
    initial: dict[tuple[int, int], Node] = field(default_factory=dict)

    @property
    def members(self) -> list[Node]:
        """All of its nodes."""
        return [node for in_round in self.rounds for node in in_round]

    @classmethod
    def of(cls, rounds: Rounds) -> Recurrence | None:
        """Return a recurrence within such rounds; None if they have none.

        The first rounds are left out where they are unlike the others, and so is what the
        recurrence does not need: what is made of its values can be computed of all rounds at once.
        """
        while len(rounds) >= FEWEST_ROUNDS:
            found = cls(rounds)
            unlike = found._fill()
            if unlike is not None:
                rounds = rounds[unlike + 1 :]
                continue
            needed = found._smallest_part()
            if len(needed) == len(rounds[0]):
                return found
            rounds = [[nodes[j] for j in needed] for nodes in rounds if needed]
        return None

    def _smallest_part(self) -> list[int]:
        """Return the places of the smallest part that needs its own earlier values and no other."""
        states = {x.place for inputs in self.inputs for x in inputs if _is_state(x)}
        return min((self._needed(j) for j in sorted(states)), key=len, default=[])

    def _needed(self, place: int) -> list[int]:
        todo, found = [place], {place}
        while todo:
            new = {x.place for x in self.inputs[todo.pop()] if isinstance(x, Earlier)} - found
            found |= new
            todo += new
        return sorted(found)

    def _fill(self) -> int | None:
        """Find the inputs; return the last round in which some of them are of another form."""
        inside = {x: (r, j) for r, nodes in enumerate(self.rounds) for j, x in enumerate(nodes)}
        last = len(self.rounds) - 1
        for j, node in enumerate(self.rounds[0]):
            self.inputs.append([])
            for k in range(len(node.inputs)):
                given = [nodes[j].inputs[k] for nodes in self.rounds]
                origin = inside.get(given[-1])
                if origin is None:
                    unlike = [r for r, x in enumerate(given) if x in inside]
                    self.inputs[j].append(given)
                elif given[-1] is given[-2]:  # the value of one round in all later ones
                    unlike = [origin[0]]
                else:
                    earlier = Earlier(origin[1], last - origin[0])
                    unlike = self._unlike(earlier, given, inside)
                    self.inputs[j].append(earlier)
                if unlike:
                    return max(unlike)
        return None

    def _unlike(
        self, earlier: Earlier, given: list[Node], inside: dict[Node, tuple[int, int]]
    ) -> list[int]:
        """Return the rounds whose input is not that of an earlier round; note initial values."""
        found = []
        for r, x in enumerate(given):
            source = earlier.place, r - earlier.lag
            if source[1] >= 0:
                is_alike = inside.get(x) == source[::-1]
            else:
                is_alike = x not in inside and self.initial.setdefault(source, x) is x
            if not is_alike:
                found.append(r)
        return found


def _is_state(x: Earlier | list[Node]) -> TypeGuard[Earlier]:
    return isinstance(x, Earlier) and x.lag > 0


def find_rounds(nodes: Sequence[Node], known: Sequence[Rounds]) -> Rounds | None:
    """Return the rounds of the longest loop among nodes that are (nearly) alone in their kind.

    In the order of the program these nodes are searched for the period at which most of them
    repeat: a node does to what comes a period later what the one a period before does.

    Args:
        nodes: In the order of the program, each with its kind.
        known: Loops that were found before.
    """
    sizes = Counter(node.kind for node in nodes)
    taken = {node for rounds in known for in_round in rounds for node in in_round}
    lonely = [
        node
        for node in nodes
        if sizes[node.kind] < FEWEST_ROUNDS
        and node not in taken
        and node.target not in SOURCES
        and node.target != SUM
    ]
    numbers: dict[object, int] = {}
    codes = torch.tensor([numbers.setdefault(own_signature(x), len(numbers)) for x in lonely])
    index = {node: i for i, node in enumerate(lonely)}
    best, best_period = (0, 0), 0
    for period in range(1, min(LONGEST_ROUND, len(lonely) // FEWEST_ROUNDS) + 1):
        span = _longest(codes[period:] == codes[:-period])
        if not _is_better(span, period, best, best_period):
            continue
        repeats = torch.zeros(len(codes) - period, dtype=torch.bool)
        for i in range(*span):
            repeats[i] = _repeats(lonely[i], lonely[i + period], period, index)
        span = _longest(repeats)
        if _is_better(span, period, best, best_period):
            best, best_period = span, period
    if not best_period:
        return None
    start, end = best[0], best[1] + best_period
    before = start - best_period  # the first round, which takes something else for earlier values
    if before >= 0 and torch.equal(codes[before:start], codes[start : start + best_period]):
        start = before
    cuts = range(start, end - best_period + 1, best_period)
    return [lonely[i : i + best_period] for i in cuts]


def _is_better(span: tuple[int, int], period: int, best: tuple[int, int], best_period: int) -> bool:
    """Whether a span of repetitions makes enough rounds, and more nodes than another one."""
    length = span[1] - span[0]
    is_enough = length >= period * (FEWEST_ROUNDS - 1)
    return is_enough and length + period > best[1] - best[0] + best_period


def _repeats(node: Node, later: Node, period: int, index: dict[Node, int]) -> bool:
    """Whether a node does the same as another, to the same or to what comes a period later."""

    def is_alike(x: Node, y: Node) -> bool:
        if x is y:
            return True
        if x in index:
            return y in index and index[y] - index[x] == period
        return y not in index and x.kind == y.kind

    return len(node.inputs) == len(later.inputs) and all(map(is_alike, node.inputs, later.inputs))


def _longest(flags: Tensor) -> tuple[int, int]:
    """Return start and end of the longest run of true values."""
    zero = torch.zeros(1, dtype=torch.int8)
    edges = torch.cat([zero, flags.to(torch.int8), zero]).diff().nonzero().reshape(-1, 2)
    if not len(edges):
        return 0, 0
    start, end = edges[(edges[:, 1] - edges[:, 0]).argmax()].tolist()
    return start, end
