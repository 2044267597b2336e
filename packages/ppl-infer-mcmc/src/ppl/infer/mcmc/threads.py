"""How many threads a tensor program gets: as many as its work is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

ENOUGH_WORK = 2**18  # numbers computed in a call: fewer take less time than threads wait


def work_of(program: Any) -> int:
    """Return how many numbers a recorded program computes and holds; that of others is enough."""
    if not isinstance(program, GraphModule):
        return ENOUGH_WORK
    values = (node.meta.get("val") for node in program.graph.nodes)
    return sum(x.numel() for x in values if isinstance(x, Tensor))


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Use one thread of torch inside a ``with`` block unless there is work for more.

    Threads that wait for a little work cost more than they do, above all where others want the
    processors.  The choice depends on the work and on no clock, and ends with the block.
    """
    found = torch.get_num_threads()
    torch.set_num_threads(found if work >= ENOUGH_WORK else 1)
    try:
        yield
    finally:
        torch.set_num_threads(found)
