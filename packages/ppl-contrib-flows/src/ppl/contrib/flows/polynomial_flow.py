"""Sum-of-squares polynomial flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .auto_reg_nn import AutoRegressiveNN
from .autoregressive import Autoregressive


class Polynomial(Autoregressive):
    r"""The flow that maps each component by an increasing polynomial.

    It is :math:`y_n = c_n + \int_0^{x_n} \sum_k (\sum_r a_{r,k} u^r)^2 du`, an integral of a sum of
    squares, with coefficients chosen by the components before (Jaini et al. 2019, "Sum-of-Squares
    Polynomial Flow", eq. 9). The inverse is found numerically.

    Args:
        autoregressive_nn: A network from ``x`` to ``(count_degree + 1) * count_sum`` coefficients
            of each component.
        input_dim: Size of the input.
        count_degree: The degree of the polynomials that are squared.
        count_sum: The number of squares.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = polynomial(4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-4)
        True
    """

    powers: Tensor
    power_mask: Tensor
    mask: Tensor

    def __init__(
        self, autoregressive_nn: Any, input_dim: int, count_degree: int, count_sum: int
    ) -> None:
        super().__init__(autoregressive_nn)
        self.input_dim = input_dim
        self.count_degree = count_degree
        self.count_sum = count_sum
        self.c: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        powers = torch.arange(1.0, count_degree + 2)
        self.register_buffer("powers", powers)
        self.register_buffer("power_mask", powers + torch.arange(count_degree + 1.0)[:, None])
        self.register_buffer("mask", self.power_mask.reciprocal())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw a new constant of each component."""
        bound = 1 / math.sqrt(self.input_dim)
        torch.nn.init.uniform_(self.c, -bound, bound)

    def _params(self, x: Tensor) -> tuple[Tensor, ...]:
        coefficients = self.arn(x).unflatten(-2, (self.count_sum, self.count_degree + 1))
        return coefficients, self.c

    def _map(self, x: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        coefficients, constant = params  # (*batch, sum, degree + 1, n), (n,)
        monomials = x.unsqueeze(-2) ** (self.powers - 1)[:, None]  # (*batch, degree + 1, n)
        factors = (coefficients * monomials.unsqueeze(-3)).sum(-2)
        # each square is integrated term by term: a_r a_s u^(r + s) to a_r a_s x^(r + s + 1) / ...
        integrals = monomials.unsqueeze(-2) * monomials.unsqueeze(-3) * self.mask[..., None]
        products = (coefficients.unsqueeze(-2) * coefficients.unsqueeze(-3)).sum(-4)
        y = constant + x * (products * integrals).sum((-3, -2))
        return y, factors.square().sum(-2).log()


def polynomial(input_dim: int, hidden_dims: Sequence[int] | None = None) -> Polynomial:
    """Return a flow of sums of three squares of degree four, with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, one of ``10 * input_dim`` by default.
    """
    degree, count = 4, 3
    hidden_dims = [10 * input_dim] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, hidden_dims, [(degree + 1) * count])
    return Polynomial(network, input_dim, degree, count)
