"""Equations of contractions and the layout of their operands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from opt_einsum import get_symbol
from torch import Tensor

from ppl.errors import ShapeError


class Equation(NamedTuple):
    """One contraction: a string of symbols for each input, and for the output."""

    inputs: tuple[str, ...]
    output: str
    reduced: str  # the symbols that are not in the output


@lru_cache(maxsize=4096)
def parse(equation: str) -> Equation:
    """Return the parts of an equation with an explicit output.

    Raises:
        ShapeError: If a symbol occurs twice in one input: take the diagonal first.

    Example:
        >>> parse("ab,bc->ac")
        Equation(inputs=('ab', 'bc'), output='ac', reduced='b')
    """
    left, output = equation.split("->")
    inputs = tuple(left.split(","))
    if any(len(set(dims)) < len(dims) for dims in inputs):
        raise ShapeError(f"equation {equation!r} repeats a symbol; take torch.diagonal first")
    reduced = dict.fromkeys(symbol for symbol in "".join(inputs) if symbol not in output)
    return Equation(inputs, output, "".join(reduced))


def aligned(equation: Equation, operands: Sequence[Tensor]) -> list[Tensor]:
    """Return views of the operands that broadcast to the dimensions ``output + reduced``."""
    joint = equation.output + equation.reduced
    return [align(x, dims, joint) for x, dims in zip(operands, equation.inputs, strict=True)]


def align(operand: Tensor, dims: str, joint: str) -> Tensor:
    """Return a view of ``operand`` with one dimension for each symbol of ``joint``.

    Args:
        operand: A tensor with dimensions ``dims``.
        dims: Symbols, all of them in ``joint``.
        joint: Symbols; one that is not in ``dims`` gives a dimension of size one.
    """
    if dims == joint:
        return operand
    ordered = operand.permute([dims.index(symbol) for symbol in joint if symbol in dims])
    sizes = dict(zip(dims, operand.shape, strict=True))
    return ordered.reshape([sizes.get(symbol, 1) for symbol in joint])


def tensordot_equation(
    num_dims: tuple[int, int], axes: int | tuple[Sequence[int], Sequence[int]]
) -> str:
    """Return the equation of ``tensordot(x, y, axes)`` of tensors with so many dimensions.

    Example:
        >>> tensordot_equation((2, 2), ((1,), (0,)))
        'ab,bd->ad'
    """
    x_dims, y_dims = num_dims
    if isinstance(axes, int):
        axes = range(x_dims - axes, x_dims), range(axes)
    x = [get_symbol(number) for number in range(x_dims)]
    y = [get_symbol(number) for number in range(x_dims, x_dims + y_dims)]
    for x_axis, y_axis in zip(*axes, strict=True):
        y[y_axis] = x[x_axis]
    output = [symbol for symbol in x + y if (symbol in x) != (symbol in y)]
    return f"{''.join(x)},{''.join(y)}->{''.join(output)}"
