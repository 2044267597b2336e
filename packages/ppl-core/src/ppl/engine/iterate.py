"""Run a compiled program many times from C++, some results as inputs of the next time.

That is a step of an optimizer, or of anything else that takes a state in and gives one back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, byref, c_bool, c_int64, c_void_p

from torch import Tensor

from .replay import Replay, ReplayError


class Copy(ctypes.Structure):
    """The struct of the same name in ``cpp/iterate.hpp``, as the next one."""

    _fields_ = [("source", c_void_p), ("to", c_void_p), ("bytes", c_int64), ("row", c_int64)]


class Iteration(ctypes.Structure):
    """What to copy, and when to stop."""

    _fields_ = [
        ("program", c_void_p),
        ("goes_on", c_void_p),
        ("num_given", c_int64),
        ("num_noted", c_int64),
        ("num_states", c_int64),
        ("given", POINTER(Copy)),
        ("noted", POINTER(Copy)),
        ("states", POINTER(Copy)),
    ]


class Iterated:
    """A replay that is run many times.

    Args:
        replay: The replay.
        states: The outputs that become inputs: the number of the input, by that of the output.
        given: The numbers of the inputs that differ from time to time.
        noted: The numbers of the outputs of which all values are returned.
        goes_on: The number of the output that says whether the states change, and it goes on.

    Raises:
        ReplayError: If an output is not like the input that it becomes.
    """

    def __init__(
        self,
        replay: Replay,
        states: Mapping[int, int],
        given: Sequence[int],
        noted: Sequence[int],
        goes_on: int,
    ) -> None:
        self._replay = replay
        self._given = _copies([(replay.inputs[i],) * 2 for i in given])
        self._noted = [replay.outputs[i] for i in noted]
        self._tables = [x.new_empty((0, *x.shape)) for x in self._noted]
        pairs = [(replay.outputs[a], replay.inputs[b]) for a, b in states.items()]
        self._iteration = Iteration(
            replay.address,
            replay.outputs[goes_on].data_ptr(),
            len(given),
            len(noted),
            len(pairs),
            self._given,
            _copies([(x, x) for x in self._noted]),
            _checked(pairs, replay.inputs),
        )
        self._run = replay.library.iterate_program
        self._run.restype = c_int64

    def __call__(self, num_times: int, rows: Sequence[Tensor]) -> tuple[int, list[Tensor]]:
        """Run it, and return how often the states have changed, and what was noted.

        Args:
            num_times: How often.
            rows: Tables of the inputs that are given, ``(time, *shape)``, of dense rows.

        Returns:
            The number, and tables of outputs, ``(time, *shape)``, until the next call; if the
            number is less than `num_times`, the next row is of the time that did not go on.

        Raises:
            ReplayError: If a call of the program fails; the states have not changed by it.
        """
        for copy, table in zip(self._given, rows, strict=True):
            copy.source, copy.row = table.data_ptr(), table.stride(0) * table.element_size()
        if len(self._tables[0]) < num_times:
            self._make_room(num_times)
        failed = c_bool()
        number: int = self._run(byref(self._iteration), c_int64(num_times), byref(failed))
        if failed:
            raise ReplayError("one of its operations fails")
        return number, self._tables

    def _make_room(self, num_times: int) -> None:
        self._tables = [x.new_empty((num_times, *x.shape)) for x in self._noted]
        for i, table in enumerate(self._tables):
            copy = self._iteration.noted[i]
            copy.to, copy.row = table.data_ptr(), self._noted[i].nbytes


def _checked(
    pairs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor]
) -> ctypes.Array[Copy]:
    """Return copies of outputs to inputs of the same layout, which share no memory."""
    taken = {x.data_ptr() for x in inputs if x.numel()}
    for output, state in pairs:
        is_like = (output.shape, output.dtype) == (state.shape, state.dtype)
        if not (is_like and state.is_contiguous()) or output.data_ptr() in taken:
            raise ReplayError("its results are not laid out like the state that they become")
    return _copies(pairs)


def _copies(pairs: Sequence[tuple[Tensor, Tensor]]) -> ctypes.Array[Copy]:
    """Return copies of tensors to others of their size."""
    return (Copy * max(1, len(pairs)))(
        *[Copy(a.data_ptr(), b.data_ptr(), a.nbytes, 0) for a, b in pairs]
    )
