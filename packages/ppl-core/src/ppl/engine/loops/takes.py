"""Rows of a tensor, with derivatives that compilers run fast: views where they can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]


def taking(index: Sequence[int], size: int) -> Change:
    """Return the function that takes these rows of a tensor with `size` rows.

    >>> taking([2, 4], 6)(torch.arange(6))
    tensor([2, 4])
    """
    num = len(index)
    if list(index) == list(range(size)):
        return lambda x: x
    step = index[1] - index[0] if num > 1 else 1
    if step > 0 and list(index) == list(range(index[0], index[0] + num * step, step)):
        span = slice(index[0], index[-1] + 1, step)
        return lambda x: x[span]
    rows = torch.tensor(index)
    if len(set(index)) < num:
        return lambda x: _TakeRepeated.apply(x, rows.to(x.device), size)  # type: ignore[no-untyped-call]
    inverse = torch.full((size,), num)  # one after the last row: a zero
    inverse[rows] = torch.arange(num)
    return lambda x: _Take.apply(x, rows.to(x.device), inverse.to(x.device))  # type: ignore[no-untyped-call]


class _Take(torch.autograd.Function):
    """Different rows; the derivative takes rows as well, instead of adding to memory."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, rows: Tensor, inverse: Tensor) -> Tensor:
        return x.index_select(0, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (inverse,) = ctx.saved_tensors
        padded = torch.cat([gradient, torch.zeros_like(gradient[:1])])
        return padded.index_select(0, inverse), None, None


class _TakeRepeated(torch.autograd.Function):
    """Rows, some of them several times; the derivative adds to memory of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, rows: Tensor, size: int) -> Tensor:
        return x.index_select(0, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.size = inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (rows,) = ctx.saved_tensors
        zeros = gradient.new_zeros((ctx.size, *gradient.shape[1:]))
        return zeros.index_put((rows,), gradient, accumulate=True), None, None
