"""Backend of ``opt_einsum`` for tensors of logarithms: sums of products as log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .equations import aligned, parse, tensordot_equation

LARGEST_TABLE = 2**18  # entries that a contraction may write out


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Return the logarithm of the contraction of ``exp(operands)``.

    A small contraction is the log-sum-exp of a table of all products and exact to rounding. A large
    one is a matrix product of the exponentials, each shifted to a maximum of one; there a result
    more than some 700 nats (80 in float32) below the product of these maxima is lost, as -inf.

    Args:
        equation: Such as ``"ab,bc->ac"``.
        operands: Logarithms, which may be -inf.

    Example:
        >>> x = torch.tensor([[0.0, -math.inf], [-500.0, -500.0]])
        >>> einsum("ab->a", x)
        tensor([   0.0000, -499.3069])
    """
    parts = parse(equation)
    terms = aligned(parts, operands)
    if not parts.reduced:
        return _product(terms)
    dims = tuple(range(len(parts.output), terms[0].dim()))
    if len(terms) == 1 or _table_size(terms) <= LARGEST_TABLE:
        terms = [_product(terms)]
    return _shifted_einsum(terms, dims)


def tensordot(x: Tensor, y: Tensor, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Return the contraction of two tensors along pairs of axes."""
    return einsum(tensordot_equation((x.dim(), y.dim()), axes), x, y)


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return ``x`` with its dimensions in another order."""
    return x.permute(*axes)


def _product(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0])


def _table_size(terms: list[Tensor]) -> int:
    return math.prod(map(max, *(term.shape for term in terms)))  # sizes are equal or one


def _shifted_einsum(terms: list[Tensor], dims: tuple[int, ...]) -> Tensor:
    """Return the log of the contraction over the last dimensions ``dims`` of aligned terms."""
    shifts = [_finite(term.detach().amax(dims, keepdim=True)) for term in terms]
    shares = [(term - shift).exp() for term, shift in zip(terms, shifts, strict=True)]
    return _log(_linear_einsum(shares, dims)) + _product(shifts).squeeze(dims)


def _linear_einsum(terms: list[Tensor], dims: tuple[int, ...]) -> Tensor:
    if len(terms) == 1:
        return terms[0].sum(dims)
    joint = list(range(terms[0].dim()))
    sublists = [argument for term in terms for argument in (term, joint)]
    return torch.einsum(*sublists, joint[: dims[0]])


def _finite(shift: Tensor) -> Tensor:
    return shift.clamp(min=torch.finfo(shift.dtype).min)  # -inf - -inf would be nan


def _log(total: Tensor) -> Tensor:
    positive = total.clamp(min=torch.finfo(total.dtype).tiny)  # the gradient of log(0) would be nan
    return torch.where(total > 0, positive.log(), -math.inf)
