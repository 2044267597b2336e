"""The base of flows in which a component is transformed given those before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .auto_reg_nn import order_of
from .parametrized import as_tuple
from .root import increasing_root
from .transform_module import TransformModule


class Autoregressive(TransformModule):
    """A flow that maps each component by an increasing function that those before it choose.

    The Jacobian is triangular up to the order of the network. A draw and its score cost one pass of
    the network; the inverse of any other value costs ``input_dim`` passes, one component at a time.

    Derived classes implement ``_map``, and ``_unmap`` if its inverse has a closed form.

    Args:
        autoregressive_nn: A network from ``x`` to parameters of each component, which are the last
            dimension, with their order as ``get_permutation()`` or ``permutation``.
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim: int = 1
    autoregressive = True
    sign = +1

    def __init__(self, autoregressive_nn: Any) -> None:
        super().__init__()
        self.arn = autoregressive_nn

    def _map(self, x: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images of components and the log slopes there, elementwise."""
        raise NotImplementedError

    def _unmap(self, y: Tensor, *params: Tensor) -> Tensor:
        """Return the components that have the images ``y``, elementwise."""
        return increasing_root(lambda x: self._map(x, *params), y)

    def _params(self, x: Tensor) -> tuple[Tensor, ...]:
        return as_tuple(self.arn(x))

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self._map(x, *self._params(x))
        return y, log_slope.sum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        places = torch.arange(y.shape[-1], device=y.device)
        for place in order_of(self.arn).split(1):
            # the network has seen all that this component depends on
            params = [param.index_select(-1, place) for param in self._params(x)]
            x = torch.where(places == place, self._unmap(y.index_select(-1, place), *params), x)
        return x
