"""The nodes of a trace by kind, and the loops among them, in an order in which they can run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from .nodes import CONSTANT, DeclinedError, Node, reachable
from .recurrences import Recurrence, find_rounds
from .signatures import Rounds, sign


@dataclass(eq=False)
class Kind:
    """Nodes that do the same to other inputs."""

    members: list[Node]

    def __post_init__(self) -> None:
        self.places: dict[Node, int] = {node: i for i, node in enumerate(self.members)}

    def __len__(self) -> int:
        return len(self.members)


Unit = Kind | Recurrence  # what runs at once


@dataclass(frozen=True)
class Kinds:
    """A partition of the nodes that results need.

    Attributes:
        nodes: All of them, in the order of the program.
        by_number: Those of one kind.  Constants are of none.
        units: What runs at once, each after what it needs.
        recurrences: The loops among the units.
    """

    nodes: list[Node]
    by_number: dict[int, Kind]
    units: list[Unit]
    recurrences: list[Recurrence]

    @classmethod
    def of(cls, results: Sequence[Node]) -> Kinds:
        """Return the kinds of what results are computed from.

        Raises:
            DeclinedError: If there is no order in which they can run.
        """
        nodes = reachable(results)
        recurrences = _recurrences(nodes)
        kinds = {number: Kind(members) for number, members in _in_order_of_use(nodes).items()}
        for recurrence in recurrences:
            for j, node in enumerate(recurrence.rounds[0]):
                kinds[node.kind] = Kind([in_round[j] for in_round in recurrence.rounds])
        return cls(nodes, kinds, _sorted(kinds, recurrences), recurrences)

    def kind_of(self, node: Node) -> Kind:
        """Return the kind of a node."""
        return self.by_number[node.kind]


def _recurrences(nodes: Sequence[Node]) -> list[Recurrence]:
    """Return the loops among nodes, which then have the numbers of their kinds."""
    found: list[Recurrence] = []
    looked_at: list[Rounds] = []
    while True:
        sign(nodes, [recurrence.rounds for recurrence in found])
        rounds = find_rounds(nodes, looked_at)
        if rounds is None:
            return found
        recurrence = Recurrence.of(rounds)
        if recurrence is not None:
            found.append(recurrence)
        looked_at.append(rounds if recurrence is None else recurrence.rounds)


def _in_order_of_use(nodes: Sequence[Node]) -> dict[int, list[Node]]:
    """Return nodes by kind, in the order in which they are used: most look-ups are then slices."""
    user: dict[Node, Node] = {}
    for node in nodes:
        for x in node.inputs:
            user.setdefault(x, node)

    def rank(node: Node) -> tuple[int, int, int]:
        first = user.get(node, node)
        return first.kind, first.place, node.place

    kinds = defaultdict(list)
    for node in sorted(nodes, key=rank):
        if node.target != CONSTANT:
            kinds[node.kind].append(node)
    return kinds


def _sorted(kinds: dict[int, Kind], recurrences: list[Recurrence]) -> list[Unit]:
    unit_of: dict[int, Unit] = {**kinds}
    for recurrence in recurrences:
        unit_of.update((node.kind, recurrence) for node in recurrence.rounds[0])
    graph: TopologicalSorter[Unit] = TopologicalSorter()
    for unit in dict.fromkeys(unit_of.values()):
        needed = (x.kind for node in unit.members for x in node.inputs if x.target != CONSTANT)
        graph.add(unit, *(unit_of[i] for i in dict.fromkeys(needed) if unit_of[i] is not unit))
    try:
        return list(graph.static_order())
    except CycleError:
        raise DeclinedError("what a loop needs depends on its own results") from None
