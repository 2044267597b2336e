"""Which enumerated variable sits at which batch dimension, as seen from each site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, product
from typing import Any

from ..errors import ShapeError, SiteError
from .markov_messenger import KeptStep, Scope, Step

Dims = dict[int, int]  # negative batch dimension -> number of the variable there


class EnumDims:
    """The dimensions of one execution, left of those of its plates.

    A variable gets the rightmost dimension that no variable in its scope has. In scope are all
    variables outside of ``markov`` contexts, and those of the steps that are visible in all of the
    chains they were drawn in. A value that was computed from a variable keeps it in scope.

    Args:
        first_dim: Rightmost dimension for enumeration; plates stay right of it.
        next_dim: Rightmost dimension to give away.
        next_number: Number of the first variable.
    """

    def __init__(self, first_dim: int, next_dim: int, next_number: int = 0) -> None:
        self.first_dim = first_dim
        self.next_dim = next_dim
        self.next_number: int = next_number
        self._leftmost = next_dim + 1
        self._carried: dict[frozenset[Step], Dims] = {}  # by values of the sites of these steps
        self._kept: list[frozenset[Step]] = []  # those that may become visible again

    def after(self) -> EnumDims:
        """Return dimensions for a further program, left of those in use here."""
        return EnumDims(self.first_dim, self._leftmost - 1, self.next_number)

    def in_scope(self, msg: Mapping[str, Any]) -> Dims:
        """Return the variables that the distribution of a site may depend on."""
        dims: Dims = {}
        for steps in _visible(_scope(msg)):
            merge(dims, self._carried.get(steps, {}), msg["name"])
        return dims

    def allocate(self, msg: Mapping[str, Any], in_scope: Dims) -> tuple[int, int]:
        """Return the dimension and the number of a new variable."""
        taken = set(in_scope)
        for steps in self._kept:
            if _may_meet(steps, _scope(msg)):
                taken.update(self._carried[steps])
        dim = next(dim for dim in count(self.next_dim, -1) if dim not in taken)
        self.next_number += 1
        return dim, self.next_number - 1

    def record(self, msg: Mapping[str, Any], dims: Dims) -> None:
        """Note that the value of a site depends on these variables."""
        if dims:
            self._leftmost = min(self._leftmost, *dims)
            steps = frozenset(visible[-1] for visible in _scope(msg).values())
            if steps not in self._carried and any(isinstance(step, KeptStep) for step in steps):
                self._kept.append(steps)
            merge(self._carried.setdefault(steps, {}), dims, msg["name"])

    def check(self, msg: Mapping[str, Any], in_scope: Dims) -> None:
        """Raise if a site has batch dimensions that belong to nothing it may depend on."""
        for frame in msg["cond_indep_stack"]:
            if frame.dim is not None and frame.dim <= self.first_dim:
                raise ShapeError(
                    f"site {msg['name']!r}: plate {frame.name!r} has dim {frame.dim}, but "
                    f"enumeration uses the dims from {self.first_dim} to the left; set "
                    "first_available_dim=-1-max_plate_nesting"
                )
        for dim in _long_dims(msg["fn"].batch_shape):
            if dim <= self.first_dim and dim not in in_scope:
                raise ShapeError(
                    f"site {msg['name']!r}: its distribution has batch_shape "
                    f"{tuple(msg['fn'].batch_shape)}, but no plate and no enumerated variable in "
                    f"its scope is at dim {dim}; open a plate for each batch dimension, set "
                    "first_available_dim=-1-max_plate_nesting, or give poutine.markov a longer "
                    "history"
                )


def carried(msg: Mapping[str, Any], dims: Dims) -> Dims:
    """Return those variables that the value of a site depends on, by its shape."""
    shape = getattr(msg["value"], "shape", ())
    batch_shape = shape[: len(shape) - len(msg["fn"].event_shape)]
    return {dim: dims[dim] for dim in _long_dims(batch_shape) if dim in dims}


def _long_dims(shape: tuple[int, ...]) -> list[int]:
    return [dim for dim in range(-len(shape), 0) if shape[dim] > 1]


def _scope(msg: Mapping[str, Any]) -> Scope:
    scope: Scope = msg.get("_markov_scope", {})
    return scope


def _visible(scope: Scope) -> Iterator[frozenset[Step]]:
    """Iterate over the places whose sites a site can see: one step, or none, of each chain."""
    chains = [(None, *steps) for steps in scope.values()]
    for steps in product(*chains):
        yield frozenset(step for step in steps if step is not None)


def _may_meet(steps: frozenset[Step], scope: Scope) -> bool:
    """Return whether a site may see, now or later, both what lies in ``steps`` and in ``scope``."""
    return all(_may_be_seen(step, scope) for step in steps)


def _may_be_seen(step: Step, scope: Scope) -> bool:
    if not isinstance(step, KeptStep):
        return any(step in visible for visible in scope.values())
    here = scope.get(step.chain, (step,))[-1]
    return isinstance(here, KeptStep) and abs(here.depth - step.depth) <= step.history


def merge(dims: Dims, more: Dims, name: str) -> None:
    """Add ``more`` to ``dims`` in place; a dimension must not belong to two variables."""
    for dim, number in more.items():
        if dims.setdefault(dim, number) != number:
            raise SiteError(
                f"site {name!r}: two enumerated variables in its scope share dim {dim}; draw the "
                "sites outside of poutine.markov before those inside, and enumerate a model after "
                "its guide, by poutine.enum() without a dim"
            )
