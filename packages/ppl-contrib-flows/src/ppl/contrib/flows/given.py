"""A network at a context that stays the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .auto_reg_nn import order_of


class Given(torch.nn.Module):
    """A network with its context, a function of the other inputs.

    Args:
        network: Any function of a context alone, or of inputs and one that is named ``context``.
        context: What it is given, usually a tensor.

    Example:
        >>> Given(lambda x, context: x + context, torch.tensor(2.0))(torch.tensor(1.0))
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
        if inputs:
            return self.network(*inputs, context=self.context)
        return self.network(self.context)

    def get_permutation(self) -> Tensor:
        """Return the order of the inputs, if the network is autoregressive."""
        return order_of(self.network)
