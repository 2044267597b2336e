"""The operation that runs all rounds of a loop, opaque to recorders and compilers.

A round is a program, recorded once; compiled, all rounds run in C++.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from ...errors import PPLError
from ..inductor import CompiledProgram, compile_program, lift_constants
from ..recording import record
from ..torch_c_interface import ReplayError
from .native import NativeRounds

Tensors = Sequence[Tensor]
Round = Callable[[list[Tensor], list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]


@dataclass(frozen=True)
class Loop:
    """A function of a state, of what is given to a round, and of what all rounds share.

    Attributes:
        round: Returns the next state and what the round puts out.
        num_rounds: How many there are.
        num_state: How many tensors are the state.
        num_given: How many there are for each round, along the first dimension.
        is_backward: Whether the last round comes first.
    """

    round: Round
    num_rounds: int
    num_state: int
    num_given: int
    is_backward: bool = False

    def split(self, tensors: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return what belongs to the state, to single rounds and to all of them."""
        end = self.num_state + self.num_given
        return (
            list(tensors[: self.num_state]),
            list(tensors[self.num_state : end]),
            list(tensors[end:]),
        )

    def flat(self, *tensors: Tensor) -> list[Tensor]:
        """Return the next state and the output of a round."""
        state, output = self.round(*self.split(tensors))
        return [*state, *output]

    def batched(self, dims: Sequence[int | None]) -> Loop:
        """Return a loop for tensors some of which have a dimension more, in front."""
        return replace(self, round=torch.func.vmap(self.round, self.split(dims)))


class Recorded:
    """The program of one round, and how all of them run."""

    def __init__(self, loop: Loop, tensors: Tensors) -> None:
        state, given, shared = loop.split(tensors)
        at = [*state, *(x[0] for x in given), *shared]
        with disable_proxy_modes_tracing():
            self.inputs: list[Tensor] = [
                torch.ones(x.shape, dtype=x.dtype, device=x.device) for x in at
            ]
            self.program: GraphModule = record(loop.flat, *self.inputs)
            self.like: list[Tensor] = self.program(*self.inputs)
        self.run_round: Callable[..., Sequence[Tensor]] = self.program
        self.loop: Loop = replace(loop, round=_unused)
        self._native: NativeRounds | None = None
        self._lock = threading.Lock()

    def compile(self) -> None:
        """Compile a round, and run all of them in C++ where that can be."""
        if isinstance(self.run_round, CompiledProgram):
            return
        with _one_thread():
            self.run_round = compile_program(self.program, self.inputs)
        with suppress(ReplayError, OSError):  # rounds are then called from Python
            self._native = self.native()

    def native(self) -> NativeRounds:
        """Return the rounds in C++, on memory of their own.

        Raises:
            ReplayError: If that cannot be.
        """
        if not isinstance(self.run_round, CompiledProgram):
            raise ReplayError("a loop is not compiled")
        loop = self.loop
        return NativeRounds(self.run_round, self.inputs, loop.num_rounds, loop.is_backward)

    def __call__(self, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
        """Return the last state and the outputs of all rounds."""
        loop, state = self.loop, [x.contiguous() for x in state]
        given, shared = [x.contiguous() for x in given], [x.contiguous() for x in shared]
        if self._native is not None:
            with self._lock:
                return self._native(state, given, shared)
        outputs = [x.new_empty((loop.num_rounds, *x.shape)) for x in self.like[loop.num_state :]]
        order = range(loop.num_rounds)
        for r in reversed(order) if loop.is_backward else order:
            found = self.run_round(*state, *(x[r] for x in given), *shared)
            state = found[: loop.num_state]
            for whole, x in zip(outputs, found[loop.num_state :], strict=True):
                whole[r] = x
        return [*(x.clone() for x in state), *outputs]


def _unused(*args: Any) -> Any:
    raise AssertionError


_loops: dict[int, Recorded] = {}


def register(loop: Loop, tensors: Tensors) -> int:
    """Record a round, and return a number that tells what it is: equal ones have the same.

    So what a compiler keeps on disk of a program around it is not taken for that of another one.
    """
    recorded = Recorded(loop, tensors)
    _, constants = lift_constants(recorded.program)
    parts = (
        recorded.program.code,
        [(x.shape, x.dtype, x.device) for x in tensors],
        [(x.dtype, x.tolist()) for x in constants],
        (loop.num_rounds, loop.num_state, loop.num_given, loop.is_backward),
    )
    number = int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")
    _loops.setdefault(number, recorded)
    return number


def find_loop(number: int) -> Recorded:
    """Return a loop by the number that its operation has.

    Raises:
        PPLError: If it was recorded in another process.
    """
    if number not in _loops:
        raise PPLError("the loop was recorded by another process; record it in this one")
    return _loops[number]


def compile_loops(program: GraphModule) -> None:
    """Compile the rounds of the loops in a program."""
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.ppl.rounds.default):
        find_loop(node.args[0]).compile()


@contextmanager
def _one_thread() -> Iterator[None]:
    found = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(found)


_library = torch.library.Library("ppl", "FRAGMENT")
_library.define("rounds(int loop, Tensor[] state, Tensor[] given, Tensor[] shared) -> Tensor[]")


def _run(number: int, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
    return find_loop(number)(state, given, shared)


def _shapes(number: int, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
    recorded, new = find_loop(number), state[0].new_empty
    num, num_rounds = recorded.loop.num_state, recorded.loop.num_rounds
    shapes = [x.shape if i < num else (num_rounds, *x.shape) for i, x in enumerate(recorded.like)]
    return [new(s, dtype=x.dtype) for s, x in zip(shapes, recorded.like, strict=True)]


_library.impl("rounds", _run, "CompositeExplicitAutograd")
torch.library.register_fake("ppl::rounds", _shapes, lib=_library)
