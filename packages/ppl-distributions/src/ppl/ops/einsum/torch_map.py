"""Backend of ``opt_einsum`` for tensors of logarithms: maxima of products."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .equations import aligned, parse, tensordot_equation
from .torch_log import transpose as transpose


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Return the contraction with a maximum in place of each sum, and sums for products.

    Example:
        >>> import torch
        >>> einsum("ab,b->a", torch.tensor([[0.0, 1.0], [5.0, 2.0]]), torch.tensor([0.0, 7.0]))
        tensor([8., 9.])
    """
    parts = parse(equation)
    terms = aligned(parts, operands)
    joint = sum(terms[1:], terms[0])
    return joint.amax(tuple(range(len(parts.output), joint.dim()))) if parts.reduced else joint


def tensordot(x: Tensor, y: Tensor, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Return the contraction of two tensors along pairs of axes."""
    return einsum(tensordot_equation((x.dim(), y.dim()), axes), x, y)
