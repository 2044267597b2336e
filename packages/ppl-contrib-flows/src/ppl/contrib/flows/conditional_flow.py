"""The base of flows whose parameters a network computes from a context."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch.distributions import constraints

from ppl.distributions.conditional import ConditionalTransformModule

from .given import Given
from .transform_module import TransformModule


class ConditionalFlow(ConditionalTransformModule):
    """A flow up to a context, of which a network computes the parameters.

    Derived classes say in ``_flow`` which flow a network makes once it needs no context. The
    network runs each time that the flow is used, so one that is given a context can be trained.

    Args:
        nn: The network, a function of the context alone, or of inputs and ``context``.
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim: int = 1

    def __init__(self, nn: Any) -> None:
        super().__init__()
        self.nn = nn

    def condition(self, context: Any) -> TransformModule:
        """Return the flow at a context.

        Args:
            context: Shape ``(*batch, context_dim)``; the batch is that of the values of the flow,
                or broadcasts with it.
        """
        return self._flow(Given(self.nn, context))

    @abstractmethod
    def _flow(self, nn: Given) -> TransformModule:
        """Return the flow with the parameters that a network computes."""
