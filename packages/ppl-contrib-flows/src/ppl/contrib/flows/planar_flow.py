"""Planar flows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized
from .root import increasing_root


class ConditionedPlanar(Parametrized):
    r"""The planar flow :math:`y = x + u \tanh(w^T x + b)`, of parameters that a function returns.

    The direction ``u`` is moved along ``w`` until :math:`w^T u > -1`, where the flow is invertible
    (Rezende and Mohamed 2015, "Variational Inference with Normalizing Flows", eq. 10 to 12 and
    appendix A.1). Its inverse is the root of an increasing function of one variable, found
    numerically.

    Args:
        params: Returns ``b``, ``u`` and ``w``, shapes ``(*batch, 1)`` and twice ``(*batch, n)``.
    """

    def _invertible(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ``b``, ``u`` where the flow is invertible, ``w``, and ``1 + w @ u`` then."""
        bias, u, w = self._params()
        product = (w * u).sum(-1, keepdim=True)
        growth = softplus(product)
        u = u + (growth - 1 - product) * w / w.square().sum(-1, keepdim=True)
        return bias.squeeze(-1), u, w, growth.squeeze(-1)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bias, u, w, growth = self._invertible()
        bend = torch.tanh((x * w).sum(-1) + bias)
        return x + u * bend.unsqueeze(-1), _log_slope(growth, bend)

    def _inverse(self, y: Tensor) -> Tensor:
        bias, u, w, growth = self._invertible()

        def value(level: Tensor) -> Tensor:
            return level + (growth - 1) * torch.tanh(level + bias)

        def along_w(level: Tensor) -> tuple[Tensor, Tensor]:
            return value(level), _log_slope(growth, torch.tanh(level + bias))

        level = increasing_root(along_w, (y * w).sum(-1), value)
        return y - u * torch.tanh(level + bias).unsqueeze(-1)


class Planar(ConditionedPlanar):
    r"""The planar flow :math:`y = x + u \tanh(w^T x + b)` with learnable parameters.

    Args:
        input_dim: Size of the input.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Planar(4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

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

    def _params(self) -> tuple[Tensor, ...]:
        return self.bias, self.u, self.w


class ConditionalPlanar(ConditionalFlow):
    """A planar flow whose parameters a network computes from a context.

    Args:
        nn: A network from a context to ``b``, ``u`` and ``w``, of sizes 1, ``n`` and ``n``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> network = DenseNN(2, [16], param_dims=[1, 4, 4])
        >>> flow = ConditionalPlanar(network).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def _flow(self, nn: Given) -> ConditionedPlanar:
        return ConditionedPlanar(nn)


def planar(input_dim: int) -> Planar:
    """Return a planar flow.

    Args:
        input_dim: Size of the input.
    """
    return Planar(input_dim)


def conditional_planar(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None
) -> ConditionalPlanar:
    """Return a planar flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalPlanar(DenseNN(context_dim, hidden_dims, [1, input_dim, input_dim]))


def _log_slope(growth: Tensor, bend: Tensor) -> Tensor:
    """Return the log of ``1 + (growth - 1) * (1 - bend**2)``, of terms that do not cancel."""
    square = bend.square()
    return (growth * (1 - square) + square).log()


# where the documentation of Pyro has it: under the name that the factory and a module share
planar.ConditionedPlanar = ConditionedPlanar  # type: ignore[attr-defined]
