"""Rearrange a recorded program for speed, and keep it as it is where that goes wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.fx import GraphModule

from ..errors import warn
from .agreement import points_near, same_function

Pass = Callable[[GraphModule], GraphModule]
"""Changes a program in place and returns it.

One whose attribute ``operation`` is an operation of torch has nothing to do where that is absent.
"""


def optimize(program: GraphModule, inputs: Sequence[Tensor], passes: Sequence[Pass]) -> GraphModule:
    """Return a recorded program after some passes, each compared with what it was given.

    A pass that fails, or gives another function, is left out, and a warning says so.

    Args:
        program: A recording; it is not changed.
        inputs: Arguments, near which the programs are compared.
        passes: Ways to rearrange it.
    """
    for change in passes:
        if _has_work(change, program):
            program = _after(change, program, inputs)
    return program


def _has_work(change: Pass, program: GraphModule) -> bool:
    operation = getattr(_function(change), "operation", None)
    if operation is None:
        return True
    return bool(program.graph.find_nodes(op="call_function", target=operation))


def _after(change: Pass, program: GraphModule, inputs: Sequence[Tensor]) -> GraphModule:
    try:
        changed = change(GraphModule(program, copy.deepcopy(program.graph)))
        if same_function(changed, program, points_near(inputs)):
            return changed
        cause = "its result has other values"
    except Exception as error:  # whatever it is, the program is right without the pass
        cause = f"{type(error).__name__}: {error}"
    warn(f"a recorded program is used without {_name(change)}, perhaps slower: {cause}")
    return program


def _name(change: Pass) -> str:
    return getattr(_function(change), "__name__", repr(change))


def _function(change: Any) -> Any:
    return getattr(change, "func", change)  # of a partial one
