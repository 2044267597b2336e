"""A network at a context that stays the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Given(torch.nn.Module):
    """A network whose last argument, the context, is given: a function of the other ones.

    Parts of the network can be reached through it, such as ``get_permutation``.

    Args:
        network: Any function of inputs and a context.
        context: What it is given, usually a tensor.

    Example:
        >>> Given(torch.add, torch.tensor(2.0))(torch.tensor(1.0))
        tensor(3.)
    """

    def __init__(self, network: Any, context: Any) -> None:
        super().__init__()
        self.network = network
        if isinstance(context, Tensor):  # a buffer is seen by whoever asks what a flow depends on
            self.register_buffer("context", context, persistent=False)
        else:
            self.context = context

    def forward(self, *inputs: Any) -> Any:
        """Return the value of the network at the inputs and the context."""
        return self.network(*inputs, self.context)

    def get_permutation(self) -> Tensor:
        """Return the order of the inputs of an autoregressive network."""
        permutation: Tensor = self.network.get_permutation()
        return permutation
