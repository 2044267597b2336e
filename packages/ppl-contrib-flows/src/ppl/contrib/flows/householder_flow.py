"""Householder flows: products of reflections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.errors import ArgumentError

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized


class ConditionedHouseholder(Parametrized):
    r"""Reflections :math:`y = x - 2 u u^T x / |u|^2` in a row, of normals that a function returns.

    They preserve volume, and ``n`` of them make any orthogonal matrix (Tomczak and Welling 2016,
    "Improving Variational Auto-Encoders using Householder Flow", eq. 7 and 8).

    Args:
        params: Returns the normals, of any length but zero, one or several tensors of shape
            ``(*batch, n)``.
    """

    volume_preserving = True

    def u(self) -> Tensor:
        """Return the normals at length one, shape ``(*batch, count_transforms, n)``."""
        normals = torch.stack(self._params(), -2)
        lengths: Tensor = normals.norm(dim=-1, keepdim=True)
        return normals / lengths

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = _reflect(x, self.u())
        return y, y.new_zeros(y.shape[:-1])

    def _inverse(self, y: Tensor) -> Tensor:
        return _reflect(y, self.u().flip(-2))


class Householder(ConditionedHouseholder):
    """Reflections in a row, with learnable normals.

    Args:
        input_dim: Size of the input.
        count_transforms: The number of reflections.
    Raises:
        ArgumentError: If there are none.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Householder(4, count_transforms=2)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow(x).norm(), x.norm())
        True
    """

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        super().__init__()
        if count_transforms < 1:
            raise ArgumentError(f"count_transforms must be at least 1, got {count_transforms}")
        self.input_dim = input_dim
        self.u_unnormed: torch.nn.Parameter = torch.nn.Parameter(
            torch.empty(count_transforms, input_dim)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new normals."""
        bound = 1 / math.sqrt(self.input_dim)
        torch.nn.init.uniform_(self.u_unnormed, -bound, bound)

    def _params(self) -> tuple[Tensor, ...]:
        return self.u_unnormed.unbind(-2)


class ConditionalHouseholder(ConditionalFlow):
    """Reflections in a row whose normals a network computes from a context.

    Args:
        input_dim: Size of the input.
        nn: A network from a context to one normal of size ``input_dim`` for each reflection.
        count_transforms: The number of reflections.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_householder(4, 2, count_transforms=3).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    volume_preserving = True

    def __init__(self, input_dim: int, nn: Any, count_transforms: int = 1) -> None:
        super().__init__(nn)
        self.input_dim = input_dim
        self.count_transforms = count_transforms

    def _flow(self, nn: Given) -> ConditionedHouseholder:
        return ConditionedHouseholder(nn)


def householder(input_dim: int, count_transforms: int | None = None) -> Householder:
    """Return a Householder flow.

    Args:
        input_dim: Size of the input.
        count_transforms: The number of reflections, ``input_dim // 2 + 1`` by default.
    """
    return Householder(
        input_dim, input_dim // 2 + 1 if count_transforms is None else count_transforms
    )


def conditional_householder(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_transforms: int = 1,
) -> ConditionalHouseholder:
    """Return a Householder flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        count_transforms: The number of reflections.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden_dims, [input_dim] * count_transforms)
    return ConditionalHouseholder(input_dim, network, count_transforms)


def _reflect(x: Tensor, normals: Tensor) -> Tensor:
    """Return vectors after reflections in a row, the first normal first."""
    for normal in normals.unbind(-2):
        x = x - 2 * normal * (normal * x).sum(-1, keepdim=True)
    return x
