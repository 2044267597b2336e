"""Feed-forward networks whose output is split into parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class DenseNN(torch.nn.Module):
    """A feed-forward network that returns one tensor for each parameter of a transform.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers.
        param_dims: Sizes of the parameters to return.
        nonlinearity: What follows each hidden layer; nothing follows the last one.

    Example:
        >>> loc, scale = DenseNN(3, [16], param_dims=[2, 5])(torch.zeros(7, 3))
        >>> loc.shape, scale.shape
        (torch.Size([7, 2]), torch.Size([7, 5]))
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: torch.nn.Module = torch.nn.ReLU(),
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.hidden_dims: list[int] = list(hidden_dims)
        self.param_dims: list[int] = list(param_dims)
        sizes = [input_dim, *hidden_dims, sum(param_dims)]
        self.layers: torch.nn.ModuleList = torch.nn.ModuleList(
            map(torch.nn.Linear, sizes[:-1], sizes[1:])
        )
        self.f = nonlinearity

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the parameters at an input.

        Args:
            x: Shape ``(*batch, input_dim)``.

        Returns:
            For each entry ``p`` of ``param_dims`` a tensor of shape ``(*batch, p)``; the tensor
            itself if there is one entry.
        """
        for layer in self.layers[:-1]:
            x = self.f(layer(x))
        params: tuple[Tensor, ...] = self.layers[-1](x).split(self.param_dims, -1)
        return params if len(params) > 1 else params[0]


class ConditionalDenseNN(DenseNN):
    """A feed-forward network that also sees a context.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers.
        param_dims: Sizes of the parameters to return.
        nonlinearity: What follows each hidden layer; nothing follows the last one.

    Example:
        >>> network = ConditionalDenseNN(3, 4, [16], param_dims=[2, 5])
        >>> loc, scale = network(torch.zeros(7, 3), context=torch.zeros(4))
        >>> loc.shape, scale.shape
        (torch.Size([7, 2]), torch.Size([7, 5]))
    """

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: torch.nn.Module = torch.nn.ReLU(),
    ) -> None:
        super().__init__(context_dim + input_dim, hidden_dims, param_dims, nonlinearity)
        self.input_dim = input_dim
        self.context_dim = context_dim

    def forward(self, x: Tensor, context: Tensor) -> Tensor | tuple[Tensor, ...]:  # type: ignore[override]
        """Return the parameters at an input and a context.

        Args:
            x: Shape ``(*batch, input_dim)``.
            context: Shape ``(*batch, context_dim)``, or broadcastable to it.

        Returns:
            For each entry ``p`` of ``param_dims`` a tensor of shape ``(*batch, p)``; the tensor
            itself if there is one entry.
        """
        return super().forward(with_context(x, context))


def with_context(x: Tensor, context: Tensor) -> Tensor:
    """Return contexts and inputs side by side, shape ``(*batch, context_dim + input_dim)``.

    Args:
        x: Shape ``(*batch, input_dim)``, or broadcastable to it.
        context: Shape ``(*batch, context_dim)``, or broadcastable to it.
    """
    batch_shape = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
    return torch.cat([part.expand(*batch_shape, part.shape[-1]) for part in (context, x)], -1)
