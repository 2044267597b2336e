"""Planar flows."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import softplus

from .transform_module import TransformModule

_BISECTIONS = 64  # more than the bits of a float64 mantissa


class Planar(TransformModule):
    r"""The planar flow :math:`y = x + u \tanh(w^T x + b)`.

    The direction ``u`` is moved along ``w`` until :math:`w^T u > -1`, where the flow is invertible
    (Rezende and Mohamed 2015, "Variational Inference with Normalizing Flows", eq. 10 to 12 and
    appendix A.1). Its inverse is the root of a monotone function of one variable, found by
    bisection; the first derivatives of the inverse are exact.

    Args:
        input_dim: Size of the input.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Planar(4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim = 1

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.bias: torch.nn.Parameter = torch.nn.Parameter(torch.zeros(1))
        self.u: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.w: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, small enough for a transform near the identity."""
        bound = 1 / math.sqrt(self.input_dim)
        torch.nn.init.uniform_(self.u, -bound, bound)
        torch.nn.init.uniform_(self.w, -bound, bound)
        torch.nn.init.zeros_(self.bias)

    def _direction(self) -> tuple[Tensor, Tensor]:
        """Return ``u`` where the flow is invertible, and its inner product with ``w``."""
        product = self.w @ self.u
        allowed = softplus(product) - 1
        return self.u + (allowed - product) * self.w / self.w.square().sum(), allowed

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u, product = self._direction()
        bend = torch.tanh(x @ self.w + self.bias.squeeze())
        return x + u * bend.unsqueeze(-1), torch.log1p(product * (1 - bend.square()))

    def _inverse(self, y: Tensor) -> Tensor:
        u, product = self._direction()
        bias = self.bias.squeeze()  # shape (1,) would add a dimension
        level = _solve(y @ self.w, product, bias)
        return y - u * torch.tanh(level + bias).unsqueeze(-1)


def planar(input_dim: int) -> Planar:
    """Return a planar flow.

    Args:
        input_dim: Size of the input.
    """
    return Planar(input_dim)


def _solve(target: Tensor, slope: Tensor, bias: Tensor) -> Tensor:
    """Return the root of ``level + slope * tanh(level + bias) = target``, for ``slope > -1``."""
    with torch.no_grad():
        low, high = target - slope.abs(), target + slope.abs()
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            is_below = middle + slope * torch.tanh(middle + bias) < target
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        root = (low + high) / 2
        rate = 1 + slope * (1 - torch.tanh(root + bias).square())
    # a Newton step at the root moves nothing but carries the derivatives of the implicit function
    return root - (root + slope * torch.tanh(root + bias) - target) / rate
