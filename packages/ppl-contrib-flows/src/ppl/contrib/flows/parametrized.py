"""The base of flows whose parameters are their own, or what a function returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import constraints

from .transform_module import TransformModule


class Parametrized(TransformModule):
    """A flow with the parameters that a function returns each time that it is used.

    The function is a network at a context (:class:`Given`). A derived class that owns its
    parameters returns them from ``_params`` instead.

    Args:
        params: Returns the parameters, one tensor or several.
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim: int = 1

    def __init__(self, params: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self.params = params

    def _params(self) -> tuple[Tensor, ...]:
        if self.params is None:
            raise NotImplementedError(f"{type(self).__name__} needs a function or its own _params")
        return as_tuple(self.params())


def as_tuple(params: Any) -> tuple[Tensor, ...]:
    """Return the parameters that a network returned as a tuple, also if there is one only."""
    return tuple(params) if isinstance(params, tuple | list) else (params,)
