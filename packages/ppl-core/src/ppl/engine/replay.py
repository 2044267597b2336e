"""Replay a compiled program from C++, without Python between its calls.

What inductor generates is a Python function that calls kernels, products of matrices and operators
of torch, one after another, with new buffers each time.  A :class:`Replay` runs this function once
with other globals, which note each call and the addresses of its arguments; ``cpp/program.hpp``
makes the same calls again, in the same buffers.  A small program then takes a hundredth of the
time, without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_void_p
from pathlib import Path

import torch
from torch import Tensor

from . import cpp_library
from .inductor import CompiledProgram
from .layouts import laid_out
from .replay_notes import Notes, refuse_division
from .torch_c_interface import Call, Program, addresses, torch_functions
from .torch_c_interface import ReplayError as ReplayError

HEADERS = Path(__file__).parent / "cpp"


class Replay:
    """The calls of a compiled program on buffers of its own, for one thread at a time.

    Args:
        compiled: What :func:`~ppl.engine.inductor.compile_program` returned, for one thread.
        inputs: Inputs of the shapes, strides and dtypes that all replays will have.
        draws: Whether it may draw at random: from torch's default generator, what it would draw
            outside of C++, and so for one thread of the process at a time.
        copies: Whether the buffers are copies of the inputs; else they are the inputs.

    Attributes:
        inputs: Buffers that a replay reads.
        outputs: Buffers that it writes.
        address: Of the C++ struct.

    Raises:
        ReplayError: If it does what C++ cannot repeat.
        OSError: If there is no C++ compiler.
    """

    def __init__(
        self,
        compiled: CompiledProgram,
        inputs: Sequence[Tensor],
        draws: bool = False,
        copies: bool = True,
    ) -> None:
        refuse_division(compiled.recorded)
        if any(x.device.type != "cpu" for x in (*inputs, *compiled.constants)):
            raise ReplayError("it is not for the CPU")
        self.library: ctypes.CDLL = cpp_library.load(HEADERS / "replay.cpp")
        self.inputs: list[Tensor] = [
            laid_out(x, x.stride()) if copies else x.detach() for x in inputs
        ]
        notes = Notes(draws)
        with _generator_kept():
            outputs = notes.watch(compiled.generated, [*self.inputs, *compiled.constants])
        if not all(x.is_contiguous() for x in outputs):
            raise ReplayError("its results are not contiguous")
        self.outputs: list[Tensor] = list(outputs)
        self._kept = [notes, addresses(self.inputs), addresses(self.outputs), torch_functions()]
        calls = (Call * len(notes.calls))(*notes.calls)
        self._program = Program(len(calls), calls, *self._kept[1:3], ctypes.pointer(self._kept[3]))
        self.address: int = ctypes.addressof(self._program)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Return the results at inputs, copies of the buffers.

        Raises:
            RuntimeError: If a call fails.
        """
        for buffer, x in zip(self.inputs, inputs, strict=True):
            buffer.copy_(x)
        if self.library.run_program(c_void_p(self.address)):
            raise RuntimeError("a call of the replayed program failed")
        return [x.clone() for x in self.outputs]


@contextmanager
def _generator_kept() -> Iterator[None]:
    found = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(found)
