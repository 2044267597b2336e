"""Chains that run free of each other: leapfrogs and potential in C++, one chain a thread.

Together, chains wait at each leapfrog for the slowest of them, and Python calls the potential.  A
chain that runs free is advanced by C++ alone until its tuning is due, without the interpreter's
lock.  It draws what it draws alone, bit for bit: its noise depends on its seed and on the number of
the step.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from ctypes import c_bool, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from ppl.engine.replay import Replay
from ppl.engine.threads import at_most
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.native import NativeStride, held
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.transition.step_records import FIELDS

WORK_OF_A_CALL = 2**27  # numbers computed before Python has a look: a tenth of a second
MOST_DIVERGENCES = 1024  # of a call
PAUSE = 0.1  # seconds between two looks at the chains


class Buffer(ctypes.Structure):
    """The struct ``DrawBuffer`` in ``cpp/free.hpp``."""

    _fields_ = [
        ("position", c_void_p),
        ("fields", c_void_p),
        ("num_draws", c_int64),
        ("num_divergences", c_int64),
        ("most_divergences", c_int64),
        ("diverged_draw", c_void_p),
        ("diverged_at", c_void_p),
    ]


class Cursor(ctypes.Structure):
    """The struct of the same name in ``cpp/free.hpp``."""

    _fields_ = [
        ("first", c_int64),
        ("row", c_int64),
        ("num_strides", c_int64),
        ("is_evaluated", c_int64),
    ]


class FreeChain(Chains):
    """One chain whose leapfrogs and potential are replayed in C++.

    Args:
        sampler: What advances the chain; its machine has a twin in C++.
        position: Where it starts, shape ``(1, dim)``.
        step_size: The first step size, or where the search for it starts.
        seeds: Its seed.
        stride: The sampler's leapfrogs in C++.
        replay: The potential, which no other thread uses.
    """

    def __init__(
        self,
        sampler: Sampler,
        position: Tensor,
        step_size: Tensor,
        seeds: Sequence[int],
        stride: NativeStride,
        replay: Replay,
    ) -> None:
        super().__init__(sampler, position, step_size, seeds, stride)
        self._native, self._replay = stride, replay
        self._advance_natively = stride.function("advance")
        self._advance_natively.restype = c_bool
        self._advance_natively.argtypes = [*[c_void_p] * 3, c_int64, c_int64, c_void_p, c_void_p]
        self._diverged_draw = torch.empty(MOST_DIVERGENCES, dtype=torch.long)
        self._diverged_at = position.new_empty(MOST_DIVERGENCES, position.shape[1])
        work = max(1, getattr(sampler.machine.potential_and_grad, "work", 1))
        self._leapfrogs = max(1, WORK_OF_A_CALL // work)

    def _advance(self, num_steps: int) -> None:
        """Advance by some strides of leapfrogs, fewer if the tuning is due."""
        state, addresses = held(self.state)
        buffer = self._buffer()
        steps = self.stream.next(num_steps)
        cursor = Cursor(int(steps.first), 0, max(1, self._leapfrogs // num_steps), 0)
        while self._advance_natively(
            addresses,
            self._native.settings,
            self._replay.address,
            int(steps.seeds[0]),
            num_steps,
            ctypes.addressof(buffer),
            ctypes.addressof(cursor),
        ):
            self._evaluate(state.machine.edge.position, cursor)
        last = self.stream.move_to(cursor.first, num_steps)
        self._take_divergences(buffer.num_divergences)
        self.state = self.sampler.adapt(state, lambda: self.stream.draw_last(last), None)

    @property
    def accept_prob(self) -> Tensor:
        """That of the last transition."""
        slot = (self.state.iteration - self.sampler.warmup.num_steps - 1).clamp(min=-1)
        return self.record.fields[0, slot, FIELDS.index("accept_prob")]

    def _evaluate(self, position: Tensor, cursor: Cursor) -> None:
        """Evaluate the potential in Python, where one of its operations fails."""
        value, gradient = self.sampler.machine.potential_and_grad(position)
        for buffer, x in zip(self._replay.outputs, (gradient, value), strict=True):
            buffer.copy_(x)
        cursor.is_evaluated = 1

    def _buffer(self) -> Buffer:
        record = self.record
        return Buffer(
            record.position.data_ptr(),
            record.fields.data_ptr(),
            record.position.shape[1] - 1,
            0,
            MOST_DIVERGENCES,
            self._diverged_draw.data_ptr(),
            self._diverged_at.data_ptr(),
        )

    def _take_divergences(self, number: int) -> None:
        if number:
            draw, at = self._diverged_draw[:number].clone(), self._diverged_at[:number].clone()
            found = Divergences(torch.zeros_like(draw), draw, at)
            joined = Divergences.join([self.record.divergences, found])
            self.record = self.record._replace(divergences=joined)


class _Interrupted(Exception):
    """Ends a thread."""


def run_in_threads(
    chains: Sequence[Chains], num_threads: int, report: Callable[[Sequence[Chains]], Any]
) -> None:
    """Run chains until each has its draws, some at a time, with one of torch's threads each.

    Args:
        chains: Chains of their own.
        num_threads: How many run at a time.
        report: Called with all of them, now and then.

    Raises:
        Exception: What was raised in one of the threads, after which the others end.
        KeyboardInterrupt: After an interrupt, when all threads have ended.
    """
    is_over = threading.Event()

    def look(some: Chains) -> None:
        if is_over.is_set():
            raise _Interrupted

    def run(some: Chains) -> None:
        torch.set_num_threads(1)
        look(some)
        some.run(look)

    with at_most(1), ThreadPoolExecutor(num_threads, "ppl-chain") as pool:
        futures = [pool.submit(copy_context().run, run, some) for some in chains]
        try:
            while wait(futures, PAUSE, FIRST_EXCEPTION).not_done:
                report(chains)
                if any(f.done() and f.exception() for f in futures):
                    break
        finally:
            is_over.set()
            wait(futures)
    for error in filter(None, (future.exception() for future in futures)):
        if not isinstance(error, _Interrupted):
            raise error
    report(chains)
