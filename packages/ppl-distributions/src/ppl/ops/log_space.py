"""Sums and matrix products of positive numbers that are given by their logarithms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from ppl.distribution.util import broadcast_shape
from ppl.generators import OwnGenerators

# Above it, what a product of up to a million terms lost is below its rounding error.
FLOOR = {
    dtype: 1e6 * torch.finfo(dtype).tiny / torch.finfo(dtype).eps
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}

_SLAB = 8  # middle states whose paths are summed at a time


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """Return ``log(sum(exp(x)))`` over a dimension.

    Where all terms are -inf so is the result, and its gradient is zero; that of
    ``torch.logsumexp`` is nan.
    """
    peak = _finite_peak(x, dim)
    return _finite_log((x - peak).exp().sum(dim)) + peak.squeeze(dim)


def log_matmul_exp(x: Tensor, y: Tensor) -> Tensor:
    """Return ``log(exp(x) @ exp(y))``, exactly as by :func:`log_sum_exp`.

    A product of matrices that are scaled to at most one takes a fraction of the time, but loses
    whatever is lighter than the smallest number. It is used where that makes no difference, which
    needs a look at its values; a program that is recorded, compiled or vectorized cannot look.

    Args:
        x: Shape ``(*batch, n, k)``.
        y: Shape ``(*batch, k, m)``.

    Returns:
        Shape ``(*batch, n, m)``.

    Example:
        >>> log_matmul_exp(torch.zeros(2, 2), torch.tensor([[0.0], [-torch.inf]]))
        tensor([[0.],
                [0.]])
    """
    if not may_look_at(x):
        return _sum_over_middle(x, y)
    x_peak, y_peak = x.detach().amax(-1, keepdim=True), y.detach().amax(-2, keepdim=True)
    product = (x - x_peak).exp_() @ (y - y_peak).exp_()
    if product.numel() and product.amin() > FLOOR[x.dtype]:
        return (product.log() + x_peak).add_(y_peak)
    return _with_care(x, y)


def _with_care(x: Tensor, y: Tensor) -> Tensor:
    """Return the same where the product has zeros, or numbers so small that they are wrong."""
    x_peak, y_peak = _finite_peak(x, -1), _finite_peak(y, -2)
    product = (x - x_peak).exp() @ (y - y_peak).exp()
    is_possible = (x > -torch.inf).to(x.dtype) @ (y > -torch.inf).to(y.dtype) > 0
    if ((product > FLOOR[x.dtype]) | ~is_possible).all():
        return _finite_log(product) + x_peak + y_peak
    if x.dtype == torch.float64:
        return _sum_over_middle(x, y)
    return log_matmul_exp(x.double(), y.double()).to(x.dtype)


def _sum_over_middle(x: Tensor, y: Tensor) -> Tensor:
    shape = broadcast_shape(x.shape[:-2], y.shape[:-2])
    x, y = x.expand(shape + x.shape[-2:]), y.expand(shape + y.shape[-2:])
    total: Tensor = _SumOverMiddle.apply(x, y)  # type: ignore[no-untyped-call]
    return total


class _SumOverMiddle(torch.autograd.Function):
    """A product of which no more paths are kept at a time than ``_SLAB`` times the factors."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return reduce(torch.logaddexp, (log_sum_exp(paths, -2) for paths in _slabs(x, y)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        weighted = (grad.unsqueeze(-2) * slab for slab in _weights(*ctx.saved_tensors))
        columns, rows = zip(*((slab.sum(-1), slab.sum(-3)) for slab in weighted), strict=True)
        return torch.cat(columns, -1), torch.cat(rows, -2)

    @staticmethod
    def jvp(ctx: Any, x_tangent: Tensor, y_tangent: Tensor) -> Tensor:
        slabs = zip(_weights(*ctx.saved_tensors), _slabs(x_tangent, y_tangent), strict=True)
        return torch.stack([(weights * tangent).sum(-2) for weights, tangent in slabs]).sum(0)


def _slabs(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Yield ``x + y`` of all paths through some middle states, shape ``(*batch, n, slab, m)``."""
    for columns, rows in zip(x.split(_SLAB, -1), y.split(_SLAB, -2), strict=True):
        yield columns.unsqueeze(-1) + rows.unsqueeze(-3)


def _weights(x: Tensor, y: Tensor, total: Tensor) -> Iterator[Tensor]:
    """Yield the probabilities of the same paths given their ends."""
    finite = total.clamp(min=torch.finfo(total.dtype).min).unsqueeze(-2)
    return ((paths - finite).exp() for paths in _slabs(x, y))


def may_look_at(x: Tensor) -> bool:
    """Return whether the values of a tensor are there, and may decide what the program does."""
    return type(x) is Tensor and may_look() and not x.is_meta


def may_look() -> bool:
    """Return whether values may decide what the program does: nobody transforms or records it."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._functorch.maybe_current_level() is not None
        or (torch._C._len_torch_dispatch_stack() > 0 and not _only_draws())
        or torch._C._get_tracing_state() is not None
    )


def _only_draws() -> bool:
    """Return whether the modes of torch that are active only choose where draws come from."""
    return all(isinstance(m, OwnGenerators) for m in _get_current_dispatch_mode_stack())


def _finite_peak(x: Tensor, dim: int) -> Tensor:
    """Return the maximum over a dimension, which is kept; finite even where all terms are -inf."""
    return x.detach().amax(dim, keepdim=True).clamp(min=torch.finfo(x.dtype).min)


def _finite_log(total: Tensor) -> Tensor:
    """Return the logarithm of nonnegative numbers, with a gradient of zero where it is -inf."""
    is_positive = total > 0
    return torch.where(is_positive, torch.where(is_positive, total, 1.0).log(), -torch.inf)
