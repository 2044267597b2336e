"""The gate that lets a zero or another draw through."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from ppl.distribution import TorchDistribution, TorchDistributionMixin
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError, SiteError
from ppl.ops.powers import log_nonnegative, log_power_of_rest

from .bounds import parameter_of
from .expansion import expand_parameters
from .parameters import as_parameter, derived

P = ParamSpec("P")


def gate_by_name(init: Callable[P, None]) -> Callable[P, None]:
    """Let the gate, the first argument, be passed by name while others are positional.

    Raises:
        SiteError: If there are so many others that one of them is a second gate.
    """
    names = {*signature(init).parameters} - {"self", "gate", "gate_logits", "validate_args"}

    @wraps(init)
    def either(self: Any, *args: Any, **kwargs: Any) -> None:
        by_name = kwargs.get("gate_logits") is not None or ("gate" in kwargs and args)
        if by_name and not (args and args[0] is None):
            if len(args) > len(names):
                raise _two_gates(self)
            args = (kwargs.pop("gate", None), *args)
        init(self, *args, **kwargs)

    return either  # type: ignore[return-value]


def _two_gates(dist: Any) -> SiteError:
    return SiteError(f"{type(dist).__name__}: pass exactly one of gate and gate_logits")


class Gated(TorchDistribution):
    """What zero-inflated and hurdle models share: a zero with probability ``gate``.

    Args:
        gate: The probability, or ``None``.
        gate_logits: Its log odds, or ``None``.
        base_dist: Univariate.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        SiteError: If not exactly one of ``gate`` and ``gate_logits`` is given.
        ShapeError: If ``base_dist`` has event dimensions.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "gate": constraints.unit_interval,
        "gate_logits": constraints.real,
    }

    def _set_gate(
        self,
        gate: Tensor | float | None,
        gate_logits: Tensor | float | None,
        base_dist: Any,
        validate_args: bool | None,
    ) -> None:
        if base_dist.event_shape:
            raise _GatedVector(
                f"{type(self).__name__}: expected a univariate base_dist, got event_shape "
                f"{tuple(base_dist.event_shape)}; use the distribution of one value, then call "
                "to_event() on the result"
            )
        if (gate is None) == (gate_logits is None):
            raise _two_gates(self)
        key, value = ("gate_logits", gate_logits) if gate is None else ("gate", gate)
        assert value is not None
        weight = as_parameter(value, parameter_of(base_dist))
        batch_shape = torch.Size(broadcast_shape(weight.shape, base_dist.batch_shape))
        setattr(self, key, weight.expand(batch_shape))
        self.base_dist: TorchDistributionMixin = base_dist.expand(batch_shape)
        TorchDistribution.__init__(self, batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @derived
    def gate(self) -> Tensor:
        """Probability of a zero from the gate."""
        return self.gate_logits.sigmoid()

    @derived
    def gate_logits(self) -> Tensor:
        """Log odds of a zero from the gate."""
        return self.gate.logit()

    def _log_gate(self) -> tuple[Tensor, Tensor]:
        """Return the log probabilities that the gate gives a zero or not, from what was given."""
        if "gate_logits" in self.__dict__:
            return logsigmoid(self.gate_logits), logsigmoid(-self.gate_logits)
        return log_nonnegative(self.gate), log_power_of_rest(torch.ones_like(self.gate), self.gate)


class _GatedVector(SiteError, ShapeError):
    """A base distribution with event dimensions."""
