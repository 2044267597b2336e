"""Many rounds of a function as one operation: recorded and compiled once, whatever their number.

The derivative of a loop is a loop that goes backwards, and a batch of loops is a loop whose rounds
are batched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...errors import PPLError
from .rounds_operation import Loop, Tensors, register


def scan(loop: Loop, state: Tensors, given: Tensors, shared: Tensors) -> list[Tensor]:
    """Return the output of all rounds of a loop, along the first dimension.

    It can be differentiated once, vectorized and recorded.

    Args:
        loop: The loop, forwards.
        state: What it begins with, of the shapes that the next states have.
        given: For each round, along the first dimension.
        shared: Of all rounds.

    Example:
        >>> def add(state, given, shared):
        ...     return [state[0] + given[0]], [state[0] * shared[0]]
        >>> scan(Loop(add, 3, 1, 1), [torch.zeros(())], [torch.ones(3)], [torch.tensor(2.0)])
        [tensor([0., 2., 4.])]
    """

    def remembering(
        state: list[Tensor], given: list[Tensor], shared: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        new, output = loop.round(state, given, shared)
        return new, [*state, *output]

    remembered = replace(loop, round=remembering)
    found = _Scan.apply(remembered, *state, *given, *shared)  # type: ignore[no-untyped-call]
    return list(found[2 * loop.num_state :])


class _Scan(torch.autograd.Function):
    """Returns the last state, and the output of all rounds, which begins with the states before."""

    @staticmethod
    def forward(loop: Loop, *tensors: Tensor) -> tuple[Tensor, ...]:
        laid_out = [x.contiguous() for x in tensors]
        number = register(loop, laid_out)
        found: list[Tensor] = torch.ops.ppl.rounds(number, *loop.split(laid_out))
        return tuple(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        loop, *tensors = inputs
        states = output[loop.num_state : 2 * loop.num_state]
        ctx.loop = loop
        ctx.save_for_backward(*tensors, *states)
        ctx.mark_non_differentiable(*output[: loop.num_state], *states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        loop = ctx.loop
        num_inputs = len(ctx.saved_tensors) - loop.num_state
        state, given, shared = loop.split(ctx.saved_tensors[:num_inputs])
        states = ctx.saved_tensors[num_inputs:]
        wanted = [i for i, x in enumerate(ctx.needs_input_grad[1:]) if x and i >= loop.num_state]
        found = _gradients(loop, wanted, (state, given, shared), states, gradients)
        return (None, *(found.get(i) for i in range(num_inputs)))

    @staticmethod
    def vmap(info: Any, in_dims: Any, loop: Loop, *tensors: Tensor) -> Any:
        return _batched(_Scan, info.batch_size, in_dims[1:], loop, tensors)


def _batched(
    function: type[_Scan], size: int, dims: Sequence[int | None], loop: Loop, tensors: Tensors
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Return the results of a batch of loops, and where their batch dimensions are."""
    state, given, shared = loop.split(list(zip(tensors, dims, strict=True)))
    moved = [
        *(_batch(x, dim, size) for x, dim in state),
        *(x if dim is None else x.movedim(dim, 1) for x, dim in given),
        *(x if dim is None else x.movedim(dim, 0) for x, dim in shared),
    ]
    others = [None if dim is None else 0 for _, dim in (*given, *shared)]
    batched = loop.batched([0] * loop.num_state + others)
    found = function.apply(batched, *moved)  # type: ignore[no-untyped-call]
    return found, (0,) * loop.num_state + (1,) * (len(found) - loop.num_state)


def _batch(x: Tensor, dim: int | None, size: int) -> Tensor:
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _gradients(
    loop: Loop,
    wanted: Sequence[int],
    inputs: tuple[list[Tensor], list[Tensor], list[Tensor]],
    states: Tensors,
    gradients: Tensors,
) -> dict[int, Tensor]:
    """Return the gradients of a loop by input: those of its state, and the wanted others."""
    (state, given, shared), num = inputs, loop.num_state
    given_end = num + loop.num_given
    of_given = [i for i in wanted if i < given_end]
    of_shared = [i for i in wanted if i >= given_end]
    outputs = gradients[2 * num :]

    def back(
        sums: list[Tensor], at: list[Tensor], shared: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        slopes, of_output, here = sums[:num], at[: len(outputs)], at[len(outputs) :]
        values = [*here, *shared]
        differentiated = [*range(num), *of_given, *of_shared]

        def forward(*chosen: Tensor) -> list[Tensor]:
            known = dict(zip(differentiated, chosen, strict=True))
            found = loop.flat(*(known.get(i, x) for i, x in enumerate(values)))
            return [*found[:num], *found[2 * num :]]

        pull: Any = torch.func.vjp(forward, *(values[i] for i in differentiated))[1]
        found = pull([*slopes, *of_output])
        end = num + len(of_given)
        totals = [total + x for total, x in zip(sums[num:], found[end:], strict=True)]
        return [*found[:num], *totals], list(found[num:end])

    begin = [torch.zeros_like(x) for x in (*state, *(shared[i - given_end] for i in of_shared))]
    backward = Loop(
        back, loop.num_rounds, len(begin), len(outputs) + num + loop.num_given, is_backward=True
    )
    tensors = [*begin, *outputs, *states, *given, *shared]
    found = _Once.apply(backward, *tensors)  # type: ignore[no-untyped-call]
    places = [*range(num), *of_shared, *of_given]
    return dict(zip(places, found, strict=True))


class _Once(_Scan):
    """A loop that cannot be differentiated, and says so, such as that of a derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        raise PPLError("the derivative of a loop cannot be differentiated again")

    @staticmethod
    def vmap(info: Any, in_dims: Any, loop: Loop, *tensors: Tensor) -> Any:
        return _batched(_Once, info.batch_size, in_dims[1:], loop, tensors)
