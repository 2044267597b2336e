"""The rings of numbers and of their logarithms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .einsum import torch_log
from .ring import Ring


class LinearRing(Ring):
    """Sums and products of numbers."""

    one: float = 1.0

    def einsum(self, equation: str, *operands: Tensor) -> Tensor:
        """Return the contraction of tensors whose symbols stand in the equation."""
        names = {symbol: number for number, symbol in enumerate(sorted({*equation} - {*",->"}))}
        inputs, output = equation.split("->")
        sublists: list[Any] = []  # torch.einsum knows no symbols but letters
        for operand, dims in zip(operands, inputs.split(","), strict=True):
            sublists += [operand, [names[symbol] for symbol in dims]]
        return torch.einsum(*sublists, [names[symbol] for symbol in output])

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the product of two tensors that broadcast."""
        return x * y

    def power(self, x: Tensor, exponent: int) -> Tensor:
        """Return the product of so many equal factors."""
        return x**exponent

    def multiply(self, x: Tensor, dim: int) -> Tensor:
        """Return the product along a dimension, which is lost."""
        return x.prod(dim)

    def accumulate(self, x: Tensor) -> Tensor:
        """Return the running products along the last dimension."""
        return x.cumprod(-1)


class LogRing(Ring):
    """Sums and products of numbers, all represented by their logarithms."""

    one: float = 0.0

    def einsum(self, equation: str, *operands: Tensor) -> Tensor:
        """Return the contraction of tensors whose symbols stand in the equation."""
        return torch_log.einsum(equation, *operands)

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the product of two tensors that broadcast."""
        return x + y

    def power(self, x: Tensor, exponent: int) -> Tensor:
        """Return the product of so many equal factors."""
        return x * exponent

    def multiply(self, x: Tensor, dim: int) -> Tensor:
        """Return the product along a dimension, which is lost."""
        return x.sum(dim)

    def accumulate(self, x: Tensor) -> Tensor:
        """Return the running products along the last dimension."""
        return x.cumsum(-1)
