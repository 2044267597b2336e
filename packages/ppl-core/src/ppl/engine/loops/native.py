"""All rounds of a loop in C++: a round is a compiled program that is replayed, see `rounds.hpp`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_int64, c_void_p

import torch
from torch import Tensor

from ..inductor import CompiledProgram
from ..replay import Replay

Tensors = Sequence[Tensor]


class Rounds(ctypes.Structure):
    """The struct of the same name in ``cpp/rounds.hpp``."""

    _fields_ = [
        *((n, c_int64) for n in ("num_rounds", "is_backward", "num_state", "num_given")),
        *((n, c_int64) for n in ("num_shared", "num_output")),
        ("tensors", POINTER(c_void_p)),
        ("bytes", POINTER(c_int64)),
    ]


class NativeRounds:
    """The rounds of a loop on given memory, for one thread at a time.

    Args:
        compiled: One round.
        inputs: Examples of its inputs.
        num_rounds: How many rounds there are.
        is_backward: Whether the last round comes first.
    """

    def __init__(
        self, compiled: CompiledProgram, inputs: Tensors, num_rounds: int, is_backward: bool
    ) -> None:
        self.replay: Replay = Replay(compiled, inputs)
        self.function: int = ctypes.cast(self.replay.library.run_rounds, c_void_p).value or 0
        self._num_rounds, self._is_backward = num_rounds, is_backward

    def bind(self, state: Tensors, given: Tensors, shared: Tensors) -> tuple[Rounds, list[Tensor]]:
        """Return what to call the function with, after the address of the replay, and the results.

        All tensors are contiguous.  The results are the last state and the outputs of all rounds.
        """
        like = self.replay.outputs
        end = [torch.empty_like(x) for x in state]
        output = [x.new_empty((self._num_rounds, *x.shape)) for x in like[len(state) :]]
        tensors = [*state, *given, *shared, *end, *output]
        rounds = Rounds(
            num_rounds=self._num_rounds,
            is_backward=self._is_backward,
            num_state=len(state),
            num_given=len(given),
            num_shared=len(shared),
            num_output=len(output),
            tensors=(c_void_p * len(tensors))(*(x.data_ptr() for x in tensors)),
            bytes=(c_int64 * len(tensors))(
                *(x.numel() * x.element_size() for x in (*self.replay.inputs, *like))
            ),
        )
        return rounds, [*end, *output]

    def __call__(self, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
        """Return the last state and the outputs of all rounds."""
        rounds, results = self.bind(state, given, shared)
        self.replay.library.run_rounds(c_void_p(self.replay.address), ctypes.byref(rounds))
        return results
