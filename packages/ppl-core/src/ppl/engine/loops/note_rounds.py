"""The rounds of a loop within a program that is replayed from C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..replay_notes import KERNEL, STEP
from ..torch_c_interface import ReplayError
from .rounds_operation import find_loop


def note_rounds(notes: Any, number: int, *given: Sequence[Tensor]) -> list[Tensor]:
    """Run a loop and note the call; it has memory of its own, as the replay around it.

    Args:
        notes: Those of a replay.
        number: Of the loop.
        given: The arguments of the operation.

    Raises:
        ReplayError: If the loop is not compiled.
    """
    if not all(x.is_contiguous() for tensors in given for x in tensors):
        raise ReplayError("what a loop is given is not contiguous")
    native = find_loop(number).native()
    loop, results = native.bind(*given)
    for x in (native, loop, *results):
        notes.keep(x)
    addresses = [native.replay.address, ctypes.addressof(loop)]
    notes.note(KERNEL, addresses + [0] * (STEP - len(addresses)), function=native.function)
    for result, x in zip(results, native(*given), strict=True):
        result.copy_(x)
    return results
