"""A tensor program as it is run: how far it came, why not further, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor
from torch.fx import GraphModule

from .factorization import fail_with_nan
from .inductor import compile_program
from .loops import compile_loops
from .passes import Pass, optimize
from .recording import record
from .threads import work_of

Status = Literal["compiled", "recorded", "eager"]
OTHER_VALUES = "its recording gives other values: it draws at random or depends on values"


@dataclass(frozen=True)
class Program:
    """A function of tensors, and how it is executed.

    Attributes:
        run: The compiled program, the recording, or the function itself.
        status: Which of them.
        cost: How many numbers a call computes; of a function that is not recorded, enough.
        reason: Why it is not recorded, or was not compiled when that was tried.
    """

    run: Callable[..., Any]
    status: Status
    cost: int
    reason: str | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Return the results at inputs of the first ones' shapes, dtypes and devices."""
        return self.run(*inputs)


def recorded(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    passes: Sequence[Pass],
    is_right: Callable[[GraphModule], bool],
) -> Program:
    """Return a function as it was recorded, or as it is where that cannot be done.

    Args:
        function: The function.
        inputs: Such as all calls will have; tensors alone if there are passes.
        passes: What rearranges the recording.
        is_right: Whether the recording gives what is trusted.
    """
    try:
        graph = optimize(fail_with_nan(record(function, *inputs)), inputs, passes)
        if is_right(graph):
            return Program(graph, "recorded", work_of(graph))
        reason = OTHER_VALUES
    except RuntimeError as error:  # of the recorder, or of the replay
        reason = str(error)
    return Program(function, "eager", work_of(function), reason)


def compiled(program: Program, inputs: Sequence[Tensor], passes: Sequence[Pass] = ()) -> Program:
    """Return a recorded program compiled, and compared; or the same one, with the reason why not.

    Args:
        program: A recorded program.
        inputs: Of the shapes, strides, dtypes and devices that all calls will have.
        passes: What rearranges the recording before.
    """
    assert isinstance(program.run, GraphModule)
    try:
        compile_loops(program.run)
        graph = optimize(program.run, inputs, passes)
        return replace(program, run=compile_program(graph, inputs), status="compiled")
    except Exception as error:  # the compiler has more ways to fail than we could list
        return replace(program, reason=f"{type(error).__name__}: {error}")
