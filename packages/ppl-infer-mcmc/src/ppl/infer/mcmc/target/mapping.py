"""A function of one position at each of many draws."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule

from ppl.engine import CaptureError, agree, fail_with_nan, record
from ppl.engine.loops import at_vector_speed
from ppl.validation import unchecked

BYTES_AT_ONCE = 2**25
DRAWS_AT_ONCE = 256  # where it is not known how much memory a draw needs
FEW_DRAWS = 16 * DRAWS_AT_ONCE  # so few are done before a recording is
NUM_COMPARED, NUM_COMPARED_LONG = 8, 2  # draws at which others are compared with the function
Values = dict[str, Tensor]


def map_draws(fn: Callable[[Tensor], Values], positions: Tensor) -> Values:
    """Return what a function of a position ``(dim,)`` gives at each of many, stacked.

    A function with long loops runs with its loops batched.  For many draws others are recorded
    once, without what the results do not depend on, and replayed in large batches.  What cannot be
    recorded runs in small batches, or draw by draw.

    Args:
        fn: From a position to values by name.
        positions: Shape ``(draw, dim)``.
    """
    ways = [_run_together]
    if len(positions) > FEW_DRAWS:
        ways.insert(0, _replay)
    if len(positions) > DRAWS_AT_ONCE:
        ways.insert(0, _run_batched)
    for run in ways:
        try:
            return run(fn, positions)
        except (RuntimeError, ValueError, TypeError):  # one of the function itself comes again
            continue
    rows = [fn(position) for position in positions]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _replay(fn: Callable[[Tensor], Values], positions: Tensor) -> Values:
    program = _without_dead_code(fail_with_nan(record(fn, positions[0])))
    draws_at_once = max(1, BYTES_AT_ONCE // _bytes_of(program))
    many = torch.func.vmap(program, chunk_size=draws_at_once, randomness="different")
    values: Values = many(positions)
    _compare(values, fn, positions, NUM_COMPARED)
    return values


def _run_batched(fn: Callable[[Tensor], Values], positions: Tensor) -> Values:
    batched, decision = at_vector_speed(fn, positions[0])
    if batched is fn:
        raise CaptureError(decision)
    try:
        values = _run_together(batched, positions)
    except Exception as error:  # whatever it is, the function itself runs without batching
        raise CaptureError(f"not batched: {type(error).__name__}: {error}") from error
    _compare(values, fn, positions, NUM_COMPARED_LONG)
    return values


def _compare(values: Values, fn: Callable[[Tensor], Values], positions: Tensor, num: int) -> None:
    """Compare values with those of a function at some draws, and raise an error if they differ."""
    for i in torch.linspace(0, len(positions) - 1, num).long().tolist():
        if not agree({name: x[i] for name, x in values.items()}, fn(positions[i])):
            raise CaptureError("its recording gives other values")


def _run_together(fn: Callable[[Tensor], Values], positions: Tensor) -> Values:
    many = torch.func.vmap(fn, chunk_size=DRAWS_AT_ONCE, randomness="different")
    with unchecked():
        values: Values = many(positions)
    return values


def _without_dead_code(program: GraphModule) -> GraphModule:
    program.graph.eliminate_dead_code()
    program.recompile()
    return program


def _bytes_of(program: GraphModule) -> int:
    """Return how many bytes one run of a program writes."""
    values = (node.meta.get("val") for node in program.graph.nodes)
    return sum(x.numel() * x.element_size() for x in values if isinstance(x, Tensor))
