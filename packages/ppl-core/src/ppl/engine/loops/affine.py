"""Loops ``x[t] = a[t] * x[t - 1] + b[t]``, all rounds of which are computed at once.

A random walk is a cumulative sum.  With factors the offsets of 2, 4, 8, ... rounds are joined, in
the logarithm of the number of rounds (Hillis and Steele 1986, Data parallel algorithms).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .arguments import Values
from .nodes import Node
from .recurrences import Earlier, Recurrence
from .rounds import LoopStep, Outside


class NotAffineError(Exception):
    """A value is no affine function of the one state of a loop."""


@dataclass(frozen=True)
class Line:
    """A function ``slope * state + offset``; without slope it does not depend on the state."""

    slope: Any
    offset: Any

    def __neg__(self) -> Line:
        return Line(None if self.slope is None else -self.slope, -self.offset)

    def __add__(self, other: Line) -> Line:
        slopes = [x.slope for x in (self, other) if x.slope is not None]
        return Line(sum(slopes[1:], slopes[0]) if slopes else None, self.offset + other.offset)

    def __sub__(self, other: Line) -> Line:
        return self + -other

    def __mul__(self, other: Line) -> Line:
        if self.slope is None:
            self, other = other, self
        factor = other._constant()
        return Line(None if self.slope is None else self.slope * factor, self.offset * factor)

    def __truediv__(self, other: Line) -> Line:
        divisor = other._constant()
        return Line(None if self.slope is None else self.slope / divisor, self.offset / divisor)

    def _constant(self) -> Any:
        if self.slope is not None:
            raise NotAffineError
        return self.offset


OPERATIONS = {operator.add, operator.sub, operator.neg, operator.mul, operator.truediv}
STATE = Line(1.0, 0.0)


def affine(recurrence: Recurrence, outside: Outside) -> LoopStep:
    """Return the step that computes all rounds of an affine recurrence at once.

    Raises:
        NotAffineError: If it is none, or has several states.
    """
    first, num_rounds = recurrence.rounds[0], len(recurrence.rounds)
    place = _state(recurrence)
    state = first[place]
    if not all(_is_simple(node, state) for node in first):
        raise NotAffineError
    start = outside.initial[place, -1]
    _lines(recurrence, dict.fromkeys(outside.given, 1.0))

    def run(values: Values) -> dict[int, Tensor]:
        given = {
            at: _aligned(x.fetch(values), state) if x.is_batched else x.fetch(values)
            for at, x in outside.given.items()
        }
        lines = _lines(recurrence, given)
        before = torch.as_tensor(start.fetch(values), dtype=state.dtype, device=state.device)
        after = _solve(lines[place], before.expand(state.shape), num_rounds)
        earlier = torch.cat([before.expand(1, *state.shape), after[:-1]])
        found = {}
        for j in outside.used:
            x = after if j == place else _at(lines[j], earlier)
            found[first[j].kind] = _wide(x, num_rounds, state, first[j].shape)
        return found

    return run


def _state(recurrence: Recurrence) -> int:
    """Return the one place whose value the next round needs."""
    found = {x for inputs in recurrence.inputs for x in inputs if isinstance(x, Earlier) and x.lag}
    if len(found) != 1 or {x.lag for x in found} != {1}:
        raise NotAffineError
    return found.pop().place


def _is_simple(node: Node, state: Node) -> bool:
    return (
        node.target in OPERATIONS
        and not node.kwargs
        and all(isinstance(x, Node) for x in node.args)
        and node.dtype == state.dtype
        and len(node.shape) <= len(state.shape)
    )


def _lines(recurrence: Recurrence, given: dict[tuple[int, int], Any]) -> list[Line]:
    """Return what the places of a round are of the state before it."""
    found: list[Line] = []
    for j, node in enumerate(recurrence.rounds[0]):
        inputs = []
        for k, x in enumerate(recurrence.inputs[j]):
            if not isinstance(x, Earlier):
                inputs.append(Line(None, given[j, k]))
            else:
                inputs.append(STATE if x.lag else found[x.place])
        found.append(node.target(*inputs))
    return found


def _solve(line: Line, before: Tensor, num_rounds: int) -> Tensor:
    """Return the states after each round, ``(round, *state)``."""
    offset = torch.as_tensor(line.offset, dtype=before.dtype, device=before.device)
    offset, slope = offset.expand(num_rounds, *before.shape), line.slope
    if isinstance(slope, float) and slope == 1.0:
        return before + offset.cumsum(0)
    is_shared = not isinstance(slope, Tensor) or slope.dim() <= before.dim()
    if not is_shared:
        slope = slope.expand(num_rounds, *before.shape)
    after = torch.cat([(slope if is_shared else slope[0]) * before + offset[:1], offset[1:]])
    joined = 1
    while joined < num_rounds:
        factor = slope if is_shared else slope[joined:]
        after = torch.cat([after[:joined], after[joined:] + factor * after[:-joined]])
        if is_shared:
            slope = slope * slope
        else:
            slope = torch.cat([slope[:joined], slope[joined:] * slope[:-joined]])
        joined *= 2
    return after


def _at(line: Line, state: Tensor) -> Any:
    return line.offset if line.slope is None else line.slope * state + line.offset


def _aligned(x: Tensor, state: Node) -> Tensor:
    """Return values of all rounds, ``(round, *shape)``, that broadcast with those of a state."""
    return x.reshape(len(x), *[1] * (len(state.shape) - x.dim() + 1), *x.shape[1:])


def _wide(x: Any, num_rounds: int, state: Node, shape: torch.Size) -> Tensor:
    ones = [1] * (len(state.shape) - len(shape))
    value = torch.as_tensor(x, dtype=state.dtype, device=state.device)
    return value.expand(num_rounds, *ones, *shape).reshape(num_rounds, *shape)
