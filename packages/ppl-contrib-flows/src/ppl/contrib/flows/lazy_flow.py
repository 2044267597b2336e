"""Flows of other libraries: modules that make a transform of torch each time they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints

from ppl.distributions.conditional import ConditionalTransformModule

from .given import Given
from .transform_module import TransformModule


class LazyFlow(TransformModule):
    """A flow that another library computes.

    It owns the parameters of the module that makes it, remembers its draws, and can stand wherever
    a flow of ours can. For zuko, whose transforms lead from values to noise, the module of a flow
    is ``flow.transform.inv``; as a distribution its ``flow()`` needs no wrapper.

    Args:
        lazy: A module, or any function, that returns a bijection of torch from noise to values.

    Example:
        >>> class Shift(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.loc = torch.nn.Parameter(torch.tensor(2.0))
        ...     def forward(self):
        ...         return torch.distributions.AffineTransform(self.loc, 1.0)
        >>> flow = LazyFlow(Shift())
        >>> flow(torch.tensor(1.0)).item(), [name for name, _ in flow.named_parameters()]
        (3.0, ['lazy.loc'])
    """

    bijective = True

    def __init__(self, lazy: Callable[[], Transform]) -> None:
        super().__init__()
        self.lazy = lazy
        with torch.no_grad():
            transform = lazy()
        self.domain: constraints.Constraint = transform.domain
        self.codomain: constraints.Constraint = transform.codomain

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        transform = self.lazy()
        y: Tensor = transform(x)
        return y, transform.log_abs_det_jacobian(x, y)

    def _inverse(self, y: Tensor) -> Tensor:
        x: Tensor = self.lazy().inv(y)
        return x


class ConditionalLazyFlow(ConditionalTransformModule):
    """A flow that another library computes from a context.

    Args:
        lazy: A module, or any function, that returns a bijection of torch from noise to values,
            given a context.

    Example:
        >>> shift = ConditionalLazyFlow(lambda c: torch.distributions.AffineTransform(c, 1.0))
        >>> shift.condition(torch.tensor(2.0))(torch.tensor(1.0))
        tensor(3.)
    """

    def __init__(self, lazy: Callable[[Any], Transform]) -> None:
        super().__init__()
        self.lazy = lazy

    def condition(self, context: Any) -> LazyFlow:
        """Return the flow at a context."""
        return LazyFlow(Given(self.lazy, context))
