"""An optimizer of ``ppl.optim`` as pure functions of its state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.distributions import constraints

from ppl.optim import PyroOptim
from ppl.params.current import param_store


class PureState(NamedTuple):
    """Parameters, and what the optimizer keeps for each of them."""

    params: dict[str, Tensor]
    optimizer: dict[str, Any]


class PureOptim:
    """``init``, ``update`` and ``get_params`` like those of ``ppl.optim.functional``.

    Each update copies the parameters and the state, so that it is slower than theirs.

    Args:
        optim: The optimizer; it is left as it is.
    """

    def __init__(self, optim: PyroOptim) -> None:
        self._optim = copy.copy(optim)

    def init(self, params: Mapping[str, Tensor]) -> PureState:
        """Return the state before the first update."""
        return PureState({name: x.detach().clone() for name, x in params.items()}, {})

    def update(self, g: Mapping[str, Tensor], state: PureState) -> PureState:
        """Return the state after one update; neither argument is changed."""
        leaves = {n: x.detach().clone().requires_grad_() for n, x in state.params.items()}
        with param_store() as store:
            for name, leaf in leaves.items():
                store.adopt(name, leaf, constraints.real)
                leaf.grad = g[name].detach().clone()
            optim = copy.copy(self._optim)
            optim.set_state(state.optimizer)
            optim(leaves.values())
            return PureState({n: x.detach() for n, x in leaves.items()}, optim.get_state())

    def get_params(self, state: PureState) -> dict[str, Tensor]:
        """Return the unconstrained values by name."""
        return state.params
