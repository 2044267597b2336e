"""Autoregressive networks: output ``i`` depends on the inputs that come before ``i``.

Reference:
    Germain, Gregor, Murray, Larochelle (2015), "MADE: Masked Autoencoder for Distribution
    Estimation", ICML; with a context as in Paige and Wood (2016), "Inference Networks for
    Sequential Monte Carlo in Graphical Models", section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ppl.errors import ShapeError

from .dense_nn import with_context


class MaskedLinear(torch.nn.Linear):
    """A linear layer some of whose weights are held at zero.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        mask: Which weights are used, shape ``(out_features, in_features)``.
        bias: Whether to add a bias.
    """

    mask: Tensor

    def __init__(
        self, in_features: int, out_features: int, mask: Tensor, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.register_buffer("mask", mask)

    def forward(self, _input: Tensor) -> Tensor:
        """Return ``_input @ (mask * weight).T + bias``."""
        return linear(_input, self.mask * self.weight, self.bias)


class ConditionalAutoRegressiveNN(torch.nn.Module):
    """An autoregressive network that also sees a context.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context, on which every output may depend.
        hidden_dims: Sizes of the hidden layers.
        param_dims: How many parameters of each kind every input gets.
        permutation: The order of the inputs: entry ``k`` is the one that comes ``k``-th. Random by
            default.
        skip_connections: Whether to add a linear path from the input to the output.
        nonlinearity: What follows each hidden layer; nothing follows the last one.

    Raises:
        ShapeError: If ``permutation`` is not a permutation of the inputs.

    Example:
        >>> network = ConditionalAutoRegressiveNN(4, 2, [16], param_dims=[1, 3])
        >>> loc, weight = network(torch.zeros(7, 4), context=torch.zeros(7, 2))
        >>> loc.shape, weight.shape
        (torch.Size([7, 4]), torch.Size([7, 3, 4]))
    """

    permutation: Tensor

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: Tensor | None = None,
        skip_connections: bool = False,
        nonlinearity: torch.nn.Module = torch.nn.ReLU(),
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.context_dim = context_dim
        self.hidden_dims: list[int] = list(hidden_dims)
        self.param_dims: list[int] = list(param_dims)
        order = torch.randperm(input_dim) if permutation is None else permutation.long().cpu()
        _check_permutation(order, input_dim)
        self.register_buffer("permutation", order)
        masks, skip = create_mask(input_dim, context_dim, hidden_dims, order, sum(param_dims))
        self.layers: torch.nn.ModuleList = torch.nn.ModuleList(
            MaskedLinear(mask.shape[1], mask.shape[0], mask) for mask in masks
        )
        self.skip_layer: MaskedLinear | None = (
            MaskedLinear(skip.shape[1], skip.shape[0], skip, bias=False)
            if skip_connections
            else None
        )
        self.f = nonlinearity

    def get_permutation(self) -> Tensor:
        """Return the order of the inputs, shape ``(input_dim,)``."""
        return self.permutation

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """Return the parameters of each input, given the inputs before it.

        Args:
            x: Shape ``(*batch, input_dim)``.
            context: Shape ``(*batch, context_dim)``, or broadcastable to it.

        Returns:
            For each entry ``p`` of ``param_dims`` a tensor of shape ``(*batch, input_dim)`` if
            ``p == 1``, else ``(*batch, p, input_dim)``; the tensor itself if there is one entry.
        """
        if context is not None:
            x = with_context(x, context)
        hidden = x
        for layer in self.layers[:-1]:
            hidden = self.f(layer(hidden))
        output = self.layers[-1](hidden)
        if self.skip_layer is not None:
            output = output + self.skip_layer(x)
        return self._split(output)

    def _split(self, output: Tensor) -> Tensor | tuple[Tensor, ...]:
        rows = output.unflatten(-1, (sum(self.param_dims), self.input_dim))
        params = tuple(
            part.squeeze(-2) if size == 1 else part
            for part, size in zip(rows.split(self.param_dims, -2), self.param_dims, strict=True)
        )
        return params if len(params) > 1 else params[0]


class AutoRegressiveNN(ConditionalAutoRegressiveNN):
    """An autoregressive network.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers.
        param_dims: How many parameters of each kind every input gets.
        permutation: The order of the inputs: entry ``k`` is the one that comes ``k``-th; the
            identity gives a triangular Jacobian. Random by default.
        skip_connections: Whether to add a linear path from the input to the output.
        nonlinearity: What follows each hidden layer; nothing follows the last one.

    Raises:
        ShapeError: If ``permutation`` is not a permutation of the inputs.

    Example:
        >>> mean, log_scale = AutoRegressiveNN(4, [16])(torch.zeros(7, 4))
        >>> mean.shape, log_scale.shape
        (torch.Size([7, 4]), torch.Size([7, 4]))
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: Tensor | None = None,
        skip_connections: bool = False,
        nonlinearity: torch.nn.Module = torch.nn.ReLU(),
    ) -> None:
        super().__init__(
            input_dim, 0, hidden_dims, param_dims, permutation, skip_connections, nonlinearity
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:  # type: ignore[override]
        """Return the parameters of each input, given the inputs before it.

        Args:
            x: Shape ``(*batch, input_dim)``.

        Returns:
            For each entry ``p`` of ``param_dims`` a tensor of shape ``(*batch, input_dim)`` if
            ``p == 1``, else ``(*batch, p, input_dim)``; the tensor itself if there is one entry.
        """
        return super().forward(x)


def create_mask(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int],
    permutation: Tensor,
    output_dim_multiplier: int,
) -> tuple[list[Tensor], Tensor]:
    """Return the masks that make a feed-forward network autoregressive.

    Every unit has a degree: inputs their place in the order, from one; the context zero; hidden
    units any number in between. A hidden unit sees what has its own degree or less, an output what
    has a degree less than its own (Germain et al. 2015, eq. 12 and 13).

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context, whose columns come before the input's.
        hidden_dims: Sizes of the hidden layers.
        permutation: The order of the inputs: entry ``k`` is the one that comes ``k``-th.
        output_dim_multiplier: How many outputs every input has.

    Returns:
        One mask for each layer, shape ``(out, in)``, and one for a path from input to output.
    """
    places = torch.empty(input_dim, dtype=torch.long)
    places[permutation] = torch.arange(1, input_dim + 1)
    degrees = torch.cat([torch.zeros(context_dim, dtype=torch.long), places])
    outputs = places.repeat(output_dim_multiplier)
    lowest = 0 if context_dim > 0 or input_dim == 1 else 1  # of use to a hidden unit
    masks, below = [], degrees
    for size in hidden_dims:
        above = lowest + torch.arange(size) * (input_dim - lowest) // size  # evenly spread
        masks.append((above[:, None] >= below).to(torch.get_default_dtype()))
        below = above
    masks.append((outputs[:, None] > below).to(torch.get_default_dtype()))
    return masks, (outputs[:, None] > degrees).to(torch.get_default_dtype())


def order_of(network: Any) -> Tensor:
    """Return the order of the inputs of a network, shape ``(input_dim,)``.

    Args:
        network: One with a method ``get_permutation`` or else an attribute ``permutation``.
    """
    method = getattr(network, "get_permutation", None)
    order: Tensor = network.permutation if method is None else method()
    return order


def _check_permutation(permutation: Tensor, input_dim: int) -> None:
    if permutation.shape != (input_dim,) or not torch.equal(
        permutation.sort().values, torch.arange(input_dim)
    ):
        raise ShapeError(
            f"permutation must hold each of 0 ... {input_dim - 1} once, got {permutation.tolist()}"
        )
