"""Standard noise that ``torch.func.vmap`` and ``make_fx`` can follow.

torch's own samplers fill tensors in place (``normal_``, ``exponential_``), which ``vmap`` refuses.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Return draws of Normal(0, 1) with the type and device of ``like``."""
    if shape == like.shape:
        return torch.randn_like(like)  # half the time
    return torch.randn(shape, dtype=like.dtype, device=like.device)


def standard_uniform(shape: Any, like: Tensor) -> Tensor:
    """Return draws of Uniform(0, 1), never exactly 0 or 1, with the type and device of ``like``."""
    u = torch.rand(shape, dtype=like.dtype, device=like.device)
    return u.clamp(min=torch.finfo(like.dtype).tiny)


def standard_exponential(shape: Any, like: Tensor) -> Tensor:
    """Return draws of Exponential(1), never exactly 0, with the type and device of ``like``."""
    return -(-standard_uniform(shape, like)).log1p()


def standard_cauchy(shape: Any, like: Tensor) -> Tensor:
    """Return draws of Cauchy(0, 1) with the type and device of ``like``."""
    return (math.pi * (standard_uniform(shape, like) - 0.5)).tan()


def standard_gamma(concentration: Tensor) -> Tensor:
    """Return reparameterized draws of Gamma(``concentration``, 1), never exactly 0."""
    draw = torch._standard_gamma(concentration.detach())
    if torch.is_grad_enabled():
        draw = _GammaDraw.apply(concentration, draw)
    return draw.clamp(min=torch.finfo(concentration.dtype).tiny)


class _GammaDraw(torch.autograd.Function):
    """A gamma draw as a function of its concentration (Figurnov et al. 2018, section 4).

    torch knows the derivative, but ``vmap`` would loop over it. The draw itself is made by torch,
    which knows what randomness ``vmap`` was asked for.
    """

    @staticmethod
    def forward(concentration: Tensor, draw: Tensor) -> Tensor:
        return draw.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        slope: Tensor = _GammaSlope.apply(*ctx.saved_tensors)
        return grad * slope, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Tensor) -> tuple[Tensor, int]:
        return _GammaDraw.apply(*map(partial(_batch_first, info), in_dims, inputs)), 0


class _GammaSlope(torch.autograd.Function):
    """The derivative of a gamma draw with respect to its concentration."""

    @staticmethod
    def forward(concentration: Tensor, draw: Tensor) -> Tensor:
        return torch._standard_gamma_grad(concentration, draw)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass  # nothing to save: a draw can be differentiated once

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise NotImplementedError("a draw of a gamma can be differentiated once")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Tensor) -> tuple[Tensor, int]:
        return _GammaSlope.apply(*map(partial(_batch_first, info), in_dims, inputs)), 0


def _batch_first(info: Any, dim: int | None, tensor: Tensor) -> Tensor:
    """Return a tensor with the dimension of ``vmap`` in front, added if it has none."""
    return tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def keep_positive(draw: Tensor) -> Tensor:
    """Return a draw that is rounded to the nearest positive finite number, not to 0 or infinity."""
    limits = torch.finfo(draw.dtype)
    return draw.clamp(min=limits.tiny, max=limits.max)


def keep_inside_unit(draw: Tensor) -> Tensor:
    """Return a draw that is rounded to the nearest number between 0 and 1, not to an end."""
    limits = torch.finfo(draw.dtype)
    return draw.clamp(min=limits.tiny, max=1 - limits.eps / 2)


def sample_dirichlet(concentration: Tensor) -> Tensor:
    """Return a reparameterized draw of Dirichlet(``concentration``), shape ``(*batch, k)``.

    Gamma variables are normalized. They are drawn as ``G(c) = G(c + 1) U ** (1 / c)`` in log space
    (Marsaglia and Tsang 2000, section 6), where small concentrations cannot underflow; torch's own
    sampler follows neither vmap nor the compiler.
    """
    boost = standard_uniform(concentration.shape, concentration).log() / concentration
    log_gamma = standard_gamma(concentration + 1).log() + boost
    return log_gamma.softmax(-1).clamp(min=torch.finfo(concentration.dtype).tiny)
