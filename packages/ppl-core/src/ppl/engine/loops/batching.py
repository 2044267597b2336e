"""A function with loops in Python as one that does what all rounds have in common at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_unflatten

from ...randomness import get_rng_state, set_rng_state
from .affine import NotAffineError, affine
from .arguments import Values
from .kinds import Kind, Kinds
from .nodes import CONSTANT, LEAF, POSITION, DeclinedError, Node
from .recurrences import Recurrence
from .rounds import LoopStep, Outside, by_rounds
from .steps import step_of
from .sums import join_additions
from .takes import taking
from .tracing import Trace, trace

FEW_OPERATIONS = 300  # are recorded as they are
GAIN = 4.0  # so many times fewer operations are worth it


def batch_loops(fn: Callable[[Tensor], Any], position: Tensor) -> Batched:
    """Return a function of positions that runs each kind of operation of another one once.

    Args:
        fn: A function from a position ``(dim,)`` to (nested containers of) tensors.
        position: An example.

    Raises:
        DeclinedError: If the function does not do the same at all positions, as far as can be seen,
            or if there is little to batch.

    Example:
        >>> import torch
        >>> def density(x):
        ...     return sum((x[i] - x[i - 1]) ** 2 for i in range(1, 200))
        >>> batched = batch_loops(density, torch.zeros(200))
        >>> batched
        Batched(600 operations as 5)
        >>> batched(torch.arange(200.0))
        tensor(199.)
    """
    found = get_rng_state()
    try:
        return Batched(trace(fn, position))
    except Exception as error:  # of whatever the function does; it runs as it is, too
        own = isinstance(error, DeclinedError)
        reason = str(error).split("\n")[0]  # handlers add to messages
        raise DeclinedError(reason if own else f"{type(error).__name__}: {reason}") from error
    finally:
        set_rng_state(found)


def at_vector_speed(
    fn: Callable[[Tensor], Any], position: Tensor
) -> tuple[Callable[[Tensor], Any], str]:
    """Return a function with its loops batched, or as it is, and which of the two and why.

    It is batched where it has many operations of few kinds; no clock decides.

    Args:
        fn: See :func:`batch_loops`.
        position: An example.
    """
    try:
        batched = batch_loops(fn, position)
    except DeclinedError as error:
        return fn, f"not batched: {error}"
    found = f"{batched.num_operations} operations"
    if batched.num_operations < max(FEW_OPERATIONS, GAIN * batched.num_steps):
        return fn, f"not batched: {found} of {batched.num_steps} kinds"
    return batched, f"{found} batched as {batched.num_steps}"


class Batched:
    """What a trace computes, as a function of the position that runs kind by kind.

    It can be recorded, differentiated and vectorized as any other function.

    Attributes:
        num_operations: How many the trace has.
        num_steps: How many it runs.
        recurrences: The loops whose rounds need each other, as (rounds, operations of a round).
    """

    def __init__(self, trace: Trace) -> None:
        join_additions(trace.results)
        kinds = Kinds.of(trace.results)
        self.num_operations: int = sum(len(unit.members) for unit in kinds.units)
        self.recurrences: list[tuple[int, int]] = [
            (len(x.rounds), len(x.rounds[0])) for x in kinds.recurrences
        ]
        self.num_steps: int = len(kinds.by_number)
        self._structure = trace.structure
        self._results = [_result(kinds, node) for node in trace.results]
        self._steps = _steps(kinds, trace.results)

    def __call__(self, position: Tensor) -> Any:
        """Return what the function returns."""
        values: Values = {}
        for step in self._steps:
            values.update(step(values, position))
        return tree_unflatten([result(values) for result in self._results], self._structure)

    def __repr__(self) -> str:
        return f"Batched({self.num_operations} operations as {self.num_steps})"


AnyStep = Callable[[Values, Tensor], Any]


def _steps(kinds: Kinds, results: list[Node]) -> list[AnyStep]:
    leaves = _Leaves(kinds)
    return [_step(kinds, unit, leaves, results) for unit in kinds.units]


def _step(kinds: Kinds, unit: Kind | Recurrence, leaves: _Leaves, results: list[Node]) -> AnyStep:
    if isinstance(unit, Recurrence):
        loop = _loop(unit, Outside(unit, kinds, results))
        return lambda values, position: loop(values)
    first = unit.members[0]
    if first.target == POSITION:
        return lambda values, position: {first.kind: position, _REORDERED: leaves(position)}
    if first.target == LEAF:
        return lambda values, position: {first.kind: leaves.rows(unit, values[_REORDERED])}
    step = step_of(kinds, unit)
    return lambda values, position: {first.kind: step(values)}


def _loop(recurrence: Recurrence, outside: Outside) -> LoopStep:
    try:
        return affine(recurrence, outside)
    except NotAffineError:
        return by_rounds(recurrence, outside)


_REORDERED = -1  # among the values: the position in the order of its parts


class _Leaves:
    """The parts of the position, in an order in which those of a kind are neighbours."""

    def __init__(self, kinds: Kinds) -> None:
        index: list[int] = []
        size = 0
        self._starts: dict[int, int] = {}
        for number, kind in kinds.by_number.items():
            if kind.members[0].target == LEAF:
                self._starts[number] = len(index)
                for node in kind.members:
                    index += range(node.args[0], node.args[0] + node.shape.numel())
            elif kind.members[0].target == POSITION:
                size = kind.members[0].shape.numel()
        self._take = taking(index, size) if index else None

    def __call__(self, position: Tensor) -> Tensor:
        return position if self._take is None else self._take(position)

    def rows(self, kind: Kind, reordered: Tensor) -> Tensor:
        """Return the leaves of one kind."""
        first, num = kind.members[0], len(kind)
        start = self._starts[first.kind]
        rows = reordered[start : start + num * first.shape.numel()]
        return rows.reshape((num, *first.shape) if num > 1 else first.shape)


def _result(kinds: Kinds, node: Node) -> Callable[[Values], Tensor]:
    if node.target == CONSTANT:
        return lambda values: node.value
    kind = kinds.kind_of(node)
    if len(kind) == 1:
        return lambda values: values[node.kind]
    place = kind.places[node]
    return lambda values: values[node.kind][place]
