"""What to do at the calls of one structure: replay the recorded program, or run the function."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

import ppl.poutine as poutine

from .agreement import agree
from .call import Call, metadata
from .differentiable import DifferentiableProgram, record_with_gradient
from .parameters import GivenParams, Leaf, ParamStatements, leaves_behind
from .recording import alias
from .refusals import CaptureError
from .surroundings import Surroundings, unchanged

Leaves = dict[str, Leaf]


class RecordedCall:
    """The recorded program of a function, and how arguments and results go in and out.

    Its inputs are the tensors of the call, the leaves of the parameters, and the leaves that the
    function reaches by itself, such as the parameters of a module.

    Args:
        fn: The function.
        surroundings: What it reads besides its arguments.
        statements: The param statements of the function, with the leaves that answered them.
        call: A call of the function.
        result: What the function returned.

    Attributes:
        program: The program; None if the function itself is to be run.
        is_settled: Whether the program agreed at a second call, or was given up.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        surroundings: Surroundings,
        statements: ParamStatements,
        call: Call,
        result: Any,
    ) -> None:
        self._fn = fn
        self._surroundings = surroundings
        self.statements = statements
        self.look_around()
        self.program: DifferentiableProgram | None = None
        self.is_settled = False
        self._structure = _structure(statements.leaves)
        leaves, self._spec = tree_flatten(result)
        self._result = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self._is_tensor = [isinstance(leaf, Tensor) for leaf in leaves]
        given = [*call.tensors, *_distinct(statements.leaves)]
        reached = leaves_behind(_tensors(result), given)
        self._reached = [leaf for leaf in reached if all(leaf is not x for x in given)]
        self._reached_structure = list(map(metadata, self._reached))

    def look_around(self) -> None:
        """Remember what the function reads besides its arguments, as it is now."""
        self._read, self._modes = self._surroundings.values(), self._surroundings.modes

    def record(self, call: Call, result: Any) -> None:
        """Record what the function does at the call where it returned ``result``.

        Raises:
            CaptureError: If it cannot be recorded.
        """
        leaves, num_tensors = self.statements.leaves, len(call.tensors)

        def flat(*inputs: Tensor) -> list[Tensor]:
            args, kwargs = call.with_tensors(inputs[:num_tensors])
            with GivenParams(leaves):
                return _tensors(self._fn(*args, **kwargs))

        inputs = [*map(alias, call.tensors), *_distinct(leaves), *self._reached]
        with poutine.block():
            self.program = record_with_gradient(flat, inputs, _tensors(result))

    def fits(self, leaves: Leaves) -> bool:
        """Return whether all leaves are of the kind that the program was recorded with."""
        same = list(map(metadata, self._reached)) == self._reached_structure
        same = same and _structure(leaves) == self._structure
        same = same and self._surroundings.modes == self._modes
        return same and unchanged(self._read, self._surroundings.values())

    def replay(self, call: Call, leaves: Leaves) -> Any:
        """Return what the program makes of the tensors of a call."""
        assert self.program is not None

        def again() -> list[Tensor]:
            with poutine.block(), GivenParams(leaves):
                return _tensors(self._fn(*call.args, **call.kwargs))

        tensors = iter(self.program(*self.inputs(call, leaves), again=again))
        pairs = zip(self._is_tensor, self._result, strict=True)
        return tree_unflatten([next(tensors) if is_t else x for is_t, x in pairs], self._spec)

    def check(self, call: Call, leaves: Leaves, result: Any) -> None:
        """Compare a replay, and its gradients, with what the function returned.

        Raises:
            CaptureError: If they differ.
        """
        replayed, inputs = self.replay(call, leaves), self.inputs(call, leaves)
        if not agree(replayed, result):
            raise CaptureError("its recording gives other values: it depends on values or on state")
        if not agree(_gradients(replayed, inputs), _gradients(result, inputs)):
            raise CaptureError("its recording has other gradients")

    def inputs(self, call: Call, leaves: Leaves) -> list[Tensor]:
        """Return the inputs of the program: tensors of the call, leaves, and what is reached."""
        return [*call.tensors, *_distinct(leaves), *self._reached]


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def _distinct(leaves: Leaves) -> list[Tensor]:
    """Return the tensors of parameters; tied ones are one input."""
    return list(dict.fromkeys(leaf.tensor for leaf in leaves.values()))


def _structure(leaves: Leaves) -> Hashable:
    """Return what the program assumes of the parameters: their kinds, and which are tied."""
    number = {tensor: i for i, tensor in enumerate(_distinct(leaves))}
    return tuple(
        (name, number[tensor], metadata(tensor), constraint)
        for name, (tensor, constraint) in leaves.items()
    )


def _gradients(result: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the sum of all results; zero for inputs that do not matter."""
    results = [r for r in _tensors(result) if r.requires_grad]
    sources = [x for x in inputs if x.requires_grad]
    if not (results and sources):
        return []
    return list(
        torch.autograd.grad(
            results,
            sources,
            [torch.ones_like(r) for r in results],
            retain_graph=True,
            materialize_grads=True,
        )
    )
