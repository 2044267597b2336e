"""How many threads a tensor program gets: as many as its work is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

ENOUGH_WORK = 2**18  # numbers computed in a call: fewer take less time than threads wait

_most: ContextVar[int | None] = ContextVar("ppl_most_threads", default=None)  # of blocks around


def work_of(program: Any) -> int:
    """Return how many numbers a recorded program computes and holds; that of others is enough."""
    if not isinstance(program, GraphModule):
        return ENOUGH_WORK
    values = (node.meta.get("val") for node in program.graph.nodes)
    return sum(x.numel() for x in values if isinstance(x, Tensor))


def most_threads() -> int:
    """Return how many threads of torch may be used for whatever work."""
    return _most.get() or torch.get_num_threads()


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Use one thread of torch inside a ``with`` block unless there is work for more.

    Threads that wait for a little work cost more than they do, above all where others want the
    processors.  The choice depends on the work and on no clock, and ends with the block.
    """
    most = most_threads()
    with _threads(most if work >= ENOUGH_WORK else 1, most):
        yield


@contextmanager
def at_most(number: int) -> Iterator[None]:
    """Use so many threads of torch inside a ``with`` block, and no more for any work."""
    with _threads(number, number):
        yield


def limit(number: int) -> None:
    """Use so many threads of torch in this process, and no more for any work."""
    torch.set_num_threads(number)
    _most.set(number)


@contextmanager
def _threads(number: int, most: int) -> Iterator[None]:
    found, token = torch.get_num_threads(), _most.set(most)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(found)
        _most.reset(token)
