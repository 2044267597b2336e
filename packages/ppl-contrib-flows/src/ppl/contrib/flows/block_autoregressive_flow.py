"""Block neural autoregressive flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import linear, logsigmoid, softplus

from ppl.errors import ArgumentError

from .activations import activation as activation_of
from .root import increasing_root
from .transform_module import TransformModule


class Weights(NamedTuple):
    """The weights of a layer of blocks.

    All of them, shape ``(dim * out, dim * in)``, the logarithms of the blocks on the diagonal,
    ``(dim, out, in)``, and the bias.
    """

    weight: Tensor
    log_diagonal: Tensor
    bias: Tensor

    def apply(self, x: Tensor, log_slopes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs, and how fast each changes with the dimension of its own block.

        Args:
            x: Inputs, shape ``(*batch, dim * in)``.
            log_slopes: The log slopes of the inputs, shape ``(*batch, dim, in)``.
        """
        y = linear(x, self.weight, self.bias)
        return y, (self.log_diagonal + log_slopes.unsqueeze(-2)).logsumexp(-1)


class BlockMaskedLinear(torch.nn.Module):
    """A linear layer of blocks: positive ones on the diagonal, free below it, zero above.

    Rows of the weights have the length ``exp(_diag_weight)`` (De Cao et al. 2019, eq. 8 to 10, with
    the weight normalization of section 4).

    Args:
        in_factor: How many inputs there are for each dimension.
        out_factor: How many outputs there are for each dimension.
        dim: The number of dimensions.
    """

    mask_d: Tensor
    mask_o: Tensor

    def __init__(self, in_factor: int, out_factor: int, dim: int) -> None:
        super().__init__()
        self.in_factor: int = in_factor
        self.out_factor: int = out_factor
        self.dim: int = dim
        num_in, num_out = in_factor * dim, out_factor * dim
        block = torch.ones(out_factor, in_factor)
        self.register_buffer("mask_d", torch.kron(torch.eye(dim), block))
        self.register_buffer("mask_o", torch.kron(torch.ones(dim, dim).tril(-1), block))
        weight = torch.zeros(num_out, num_in)
        for j in range(dim):  # a row sees the dimensions up to its own
            rows = weight[j * out_factor : (j + 1) * out_factor, : (j + 1) * in_factor]
            torch.nn.init.xavier_uniform_(rows)
        self._weight: torch.nn.Parameter = torch.nn.Parameter(weight * (self.mask_d + self.mask_o))
        self._diag_weight: torch.nn.Parameter = torch.nn.Parameter(
            (1 - torch.rand(num_out, 1)).log()
        )
        bound = 1 / math.sqrt(num_out)
        self.bias: torch.nn.Parameter = torch.nn.Parameter(
            torch.empty(num_out).uniform_(-bound, bound)
        )

    def forward(self) -> Weights:
        """Return the weights that are used."""
        weight = self._weight.exp() * self.mask_d + self._weight * self.mask_o
        log_scale = self._diag_weight - weight.square().sum(-1, keepdim=True).log() / 2
        blocks = (self._weight + log_scale).reshape(
            self.dim, self.out_factor, self.dim, self.in_factor
        )
        log_diagonal = blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)
        return Weights(log_scale.exp() * weight, log_diagonal, self.bias)


class BlockAutoregressive(TransformModule):
    r"""The flow that is one monotone autoregressive network.

    Every hidden unit belongs to a dimension, increases in it and sees those before it (De Cao et
    al. 2019, "Block Neural Autoregressive Flow", section 3). The inverse is found numerically, one
    dimension after another, each with some forty passes of the network. Where there is none it is
    nan: without a residual connection, bounded activations reach bounded values only.

    Args:
        input_dim: Size of the input.
        hidden_factors: For each hidden layer the number of units of each dimension.
        activation: ``"tanh"``, ``"sigmoid"``, ``"ELU"`` or ``"LeakyReLU"``.
        residual: None for :math:`y = f(x)`, ``"normal"`` for :math:`y = x + f(x)`, or ``"gated"``
            for :math:`y = \alpha x + (1 - \alpha) f(x)` with a learnable gate in (0, 1).
    Raises:
        ArgumentError: If the activation or the kind of residual connection is unknown.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = BlockAutoregressive(4, residual="gated")
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-4)
        True
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim: int = 1
    autoregressive = True
    sign = +1

    def __init__(
        self,
        input_dim: int,
        hidden_factors: Sequence[int] = [8, 8],
        activation: str = "tanh",
        residual: str | None = None,
    ) -> None:
        super().__init__()
        if residual not in (None, "normal", "gated"):
            raise ArgumentError(f"residual must be None, 'normal' or 'gated', got {residual!r}")
        self.T = activation_of(activation)
        self.input_dim = input_dim
        self.hidden_factors: list[int] = list(hidden_factors)
        self.activation = activation
        self.residual = residual
        sizes = [1, *hidden_factors, 1]
        self.layers: torch.nn.ModuleList = torch.nn.ModuleList(
            BlockMaskedLinear(below, above, input_dim)
            for below, above in zip(sizes[:-1], sizes[1:], strict=True)
        )
        if residual == "gated":
            self.gate: torch.nn.Parameter = torch.nn.Parameter(torch.randn(1))

    def _weights(self) -> list[Weights]:
        return [layer() for layer in self.layers]

    def _slopes(self, x: Tensor, weights: list[Weights]) -> tuple[Tensor, Tensor]:
        """Return the image, and the log slope of each component in the same one of ``x``."""
        hidden, log_slopes = x, x.new_zeros(*x.shape, 1)
        for layer in weights[:-1]:
            pre, log_slopes = layer.apply(hidden, log_slopes)
            hidden = self.T(pre)
            bend = self.T.log_abs_det_jacobian(pre, hidden)
            log_slopes = log_slopes + bend.unflatten(-1, (self.input_dim, -1))
        y, log_slopes = weights[-1].apply(hidden, log_slopes)
        return self._with_residual(x, y, log_slopes.squeeze(-1))

    def _with_residual(self, x: Tensor, y: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        if self.residual == "normal":
            return x + y, softplus(log_slope)
        if self.residual == "gated":
            gate = self.gate.sigmoid()
            log_slope = torch.logaddexp(logsigmoid(self.gate), logsigmoid(-self.gate) + log_slope)
            return gate * x + (1 - gate) * y, log_slope
        return y, log_slope

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self._slopes(x, self._weights())
        return y, log_slope.sum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        x, weights = torch.zeros_like(y), self._weights()
        for i in range(self.input_dim):
            x = self._with_component(x, i, self._root(x, y[..., i], i, weights))
        return x

    def _root(self, x: Tensor, target: Tensor, i: int, weights: list[Weights]) -> Tensor:
        """Return component ``i`` where the image of it is ``target``, given those before."""

        def function(component: Tensor) -> tuple[Tensor, Tensor]:
            y, log_slope = self._slopes(self._with_component(x, i, component), weights)
            return y[..., i], log_slope[..., i]

        return increasing_root(function, target)

    def _with_component(self, x: Tensor, i: int, component: Tensor) -> Tensor:
        is_here = torch.arange(self.input_dim, device=x.device) == i
        return torch.where(is_here, component.unsqueeze(-1), x)


def block_autoregressive(input_dim: int, **kwargs: Any) -> BlockAutoregressive:
    """Return a block neural autoregressive flow.

    Args:
        input_dim: Size of the input.
        kwargs: Further arguments of :class:`BlockAutoregressive`.
    """
    return BlockAutoregressive(input_dim, **kwargs)
