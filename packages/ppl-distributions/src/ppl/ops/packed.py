"""Arithmetic of packed tensors, whose dimensions have names.

A packed tensor carries one symbol for each dimension in its attribute ``_pyro_dims``, and has none
of size one. Results are packed, too; dimensions meet by symbol, wherever they stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from ppl.distribution.util import scale_and_mask as _scale_and_mask
from ppl.errors import ShapeError
from ppl.ops.einsum.equations import align as _align
from ppl.poutine.packing import pack as pack
from ppl.poutine.packing import unpack as unpack


def dims_of(value: Tensor) -> str:
    """Return the symbols of the dimensions of a packed tensor, from left to right."""
    dims: str = value._pyro_dims  # type: ignore[attr-defined]
    return dims


def with_dims(value: Tensor, dims: str) -> Tensor:
    """Return a view of ``value`` whose dimensions have the symbols ``dims``."""
    named = value.view_as(value)  # the symbols of value itself stay
    named._pyro_dims = dims  # type: ignore[attr-defined]
    return named


def sizes_of(values: Iterable[Tensor]) -> dict[str, int]:
    """Return the size of each symbol.

    Raises:
        ShapeError: If a symbol has two sizes.
    """
    sizes: dict[str, int] = {}
    for value in values:
        for symbol, size in zip(dims_of(value), value.shape, strict=True):
            if sizes.setdefault(symbol, size) != size:
                raise ShapeError(
                    f"dimension {symbol!r} has size {sizes[symbol]} in one tensor and {size} in "
                    f"another, of shape {tuple(value.shape)} and dimensions {dims_of(value)!r}"
                )
    return sizes


def align(value: Tensor, dims: str) -> Tensor:
    """Return an unpacked view of ``value`` with one dimension for each symbol of ``dims``.

    A symbol that ``value`` lacks gives a dimension of size one.
    """
    return _align(value, dims_of(value), dims)


def broadcast_all(*values: Tensor, **kwargs: str) -> tuple[Tensor, ...]:
    """Return the tensors expanded to the same dimensions.

    Args:
        values: Packed tensors.
        dims: The symbols of the results in order; by default all that occur, sorted.

    Raises:
        ShapeError: If a symbol has two sizes.
    """
    sizes = sizes_of(values)
    dims = kwargs.pop("dims", "".join(sorted(sizes)))
    if kwargs:
        raise TypeError(f"broadcast_all got unexpected arguments {sorted(kwargs)}")
    shape = [sizes[symbol] for symbol in dims]
    return tuple(with_dims(align(value, dims).expand(shape), dims) for value in values)


def gather(value: Tensor, index: Tensor, dim: str) -> Tensor:
    """Return the entries of ``value`` that ``index`` chooses along the dimension ``dim``.

    Args:
        value: A packed tensor; returned as it is when it has no such dimension.
        index: A packed tensor of integers; its dimensions are shared with those of ``value``.
        dim: A symbol.

    Example:
        >>> import torch
        >>> table = pack(torch.tensor([[1, 2], [3, 4]]), {-2: "i", -1: "a"})
        >>> gather(table, pack(torch.tensor([1, 0]), {-1: "i"}), "a")
        tensor([2, 3])
    """
    if dim not in dims_of(value):
        return value
    rest = dims_of(value).replace(dim, "")
    dims = rest + "".join(symbol for symbol in dims_of(index) if symbol not in rest)
    sizes = sizes_of([value, index])
    table = align(value, dims + dim).expand([sizes[symbol] for symbol in dims + dim])
    chosen = align(index, dims).expand(table.shape[:-1]).unsqueeze(-1)
    return with_dims(table.gather(-1, chosen).squeeze(-1), dims)


def mul(lhs: Tensor | float, rhs: Tensor | float) -> Tensor | float:
    """Return the product of packed tensors or numbers."""
    if isinstance(lhs, Tensor) and isinstance(rhs, Tensor):
        dims = "".join(sorted({*dims_of(lhs), *dims_of(rhs)}))
        return with_dims(align(lhs, dims) * align(rhs, dims), dims)
    product = lhs * rhs
    return _named_like(product, lhs if isinstance(lhs, Tensor) else rhs)


def neg(value: Tensor | float) -> Tensor | float:
    """Return a packed tensor or number with the other sign."""
    return _named_like(-value, value)


def exp(value: Tensor | float) -> Tensor | float:
    """Return the exponential of a packed tensor or number."""
    return with_dims(value.exp(), dims_of(value)) if isinstance(value, Tensor) else math.exp(value)


def scale_and_mask(
    tensor: Tensor, scale: Tensor | float = 1.0, mask: Tensor | bool | None = None
) -> Tensor:
    """Return a packed tensor times ``scale`` where ``mask`` holds, and zero elsewhere.

    Args:
        tensor: A log density (nats), packed.
        scale: A number or a packed tensor.
        mask: A boolean or a packed boolean tensor; ``None`` means true.
    """
    packed = [x for x in (tensor, scale, mask) if isinstance(x, Tensor)]
    dims = "".join(dict.fromkeys(symbol for x in packed for symbol in dims_of(x)))
    scale = align(scale, dims) if isinstance(scale, Tensor) else scale
    mask = align(mask, dims) if isinstance(mask, Tensor) else mask
    return with_dims(_scale_and_mask(align(tensor, dims), scale, mask), dims)


def rename_equation(equation: str, *operands: Tensor) -> str:
    """Return an einsum equation with the symbols of the packed operands in place of its own.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(2, 3), torch.zeros(3, 4)
        >>> rename_equation("ij,jk->i,k", with_dims(x, "ab"), with_dims(y, "bc"))
        'ab,bc->a,c'
    """
    inputs = equation.split("->")[0].split(",")
    names: dict[str, str] = {}
    for term, operand in zip(inputs, operands, strict=True):
        names.update(zip(term, dims_of(operand), strict=True))
    return "".join(names.get(symbol, symbol) for symbol in equation)


def _named_like(result: Tensor | float, value: Tensor | float) -> Tensor | float:
    if isinstance(result, Tensor) and isinstance(value, Tensor):
        return with_dims(result, dims_of(value))
    return result
