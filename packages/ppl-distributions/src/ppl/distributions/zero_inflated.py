"""Distributions with extra zeros (Lambert 1992)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from ppl.distribution import TorchDistribution
from ppl.distribution.util import broadcast_shape
from ppl.errors import SiteError
from ppl.ops.powers import log_nonnegative, log_power_of_rest

from .counts import NegativeBinomial, Poisson
from .expansion import expand_parameters
from .parameters import broadcast_parameters, derived

P = ParamSpec("P")


def _gate_by_name(init: Callable[P, None]) -> Callable[P, None]:
    """Let the gate, the first argument, be passed by name while others are positional."""

    @wraps(init)
    def either(self: Any, *args: Any, **kwargs: Any) -> None:
        if "gate_logits" in kwargs or ("gate" in kwargs and args):
            args = (kwargs.pop("gate", None), *args)
        init(self, *args, **kwargs)

    return either  # type: ignore[return-value]


class ZeroInflatedDistribution(TorchDistribution):
    """Zero with probability ``gate``, and a draw from ``base_dist`` otherwise.

    ``ZeroInflatedDistribution(gate, base_dist)`` and ``ZeroInflatedDistribution(base_dist,
    gate=...)`` (or ``gate_logits=...``) mean the same.

    Args:
        gate: Probability of an extra zero.
        base_dist: A univariate distribution over the nonnegative integers.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        gate_logits: Log odds of an extra zero, instead of ``gate``.
    Raises:
        SiteError: If not exactly one of ``gate`` and ``gate_logits`` is given, or if ``base_dist``
            has event dimensions.

    Example:
        >>> d = ZeroInflatedDistribution(0.5, Poisson(torch.tensor(2.0)))
        >>> d.log_prob(torch.tensor(0.0)).exp()
        tensor(0.5677)
    """

    arg_constraints = {"gate": constraints.unit_interval, "gate_logits": constraints.real}

    @_gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        base_dist: Any,
        validate_args: bool | None = None,
        *,
        gate_logits: Tensor | float | None = None,
    ) -> None:
        self._inflate(gate, gate_logits, base_dist, validate_args)

    def _inflate(
        self,
        gate: Tensor | float | None,
        gate_logits: Tensor | float | None,
        base_dist: Any,
        validate_args: bool | None,
    ) -> None:
        name = type(self).__name__
        if (gate is None) == (gate_logits is None):
            raise SiteError(f"{name}: pass exactly one of gate and gate_logits")
        if base_dist.event_shape:
            raise SiteError(
                f"{name}: base_dist has event_shape {tuple(base_dist.event_shape)}, expected (); "
                "inflate the distribution of one value, then use to_event()"
            )
        (weight,) = broadcast_parameters(gate_logits if gate is None else gate)
        batch_shape = torch.Size(broadcast_shape(weight.shape, base_dist.batch_shape))
        setattr(self, "gate_logits" if gate is None else "gate", weight.expand(batch_shape))
        self.base_dist = base_dist.expand(batch_shape)
        TorchDistribution.__init__(self, batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property
    def support(self) -> Any:
        return self.base_dist.support

    @derived
    def gate(self) -> Tensor:
        """Probability of an extra zero."""
        return self.gate_logits.sigmoid()

    @derived
    def gate_logits(self) -> Tensor:
        """Log odds of an extra zero."""
        return self.gate.logit()

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            value = self.base_dist.sample(sample_shape)
            extra = torch.bernoulli(self.gate.expand(value.shape)).bool()
            return torch.where(extra, 0.0, value)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_extra, log_other = self._log_gate()
        log_base: Tensor = self.base_dist.log_prob(value)
        density = log_other + log_base
        if "gate" in self.__dict__:
            at_zero = _log_inflated(self.gate, log_base)
        else:
            at_zero = torch.logaddexp(log_extra, density)
        return torch.where(value == 0, at_zero, density)

    def _log_gate(self) -> tuple[Tensor, Tensor]:
        """Return the log probabilities of an extra zero and of none, from what was given."""
        if "gate_logits" in self.__dict__:
            return logsigmoid(self.gate_logits), logsigmoid(-self.gate_logits)
        return log_nonnegative(self.gate), log_power_of_rest(torch.ones_like(self.gate), self.gate)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.base_dist.mean
        return (1 - self.gate) * mean

    @property
    def variance(self) -> Tensor:
        mean, variance = self.base_dist.mean, self.base_dist.variance
        inflated: Tensor = (1 - self.gate) * (self.gate * mean.square() + variance)
        return inflated


class ZeroInflatedPoisson(ZeroInflatedDistribution):
    """Zero with probability ``gate``, and a Poisson count with mean ``rate`` otherwise.

    ``ZeroInflatedPoisson(rate, gate=...)`` (or ``gate_logits=...``) means the same.

    Args:
        gate: Probability of an extra zero.
        rate: Mean of the counts without extra zeros.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        gate_logits: Log odds of an extra zero, instead of ``gate``.
    """

    support = constraints.nonnegative_integer

    @_gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        rate: Tensor | float,
        validate_args: bool | None = None,
        *,
        gate_logits: Tensor | float | None = None,
    ) -> None:
        base = Poisson(rate, validate_args=validate_args)
        self._inflate(gate, gate_logits, base, validate_args)

    @property
    def rate(self) -> Tensor:
        """Mean of the counts without extra zeros."""
        rate: Tensor = self.base_dist.rate
        return rate


class ZeroInflatedNegativeBinomial(ZeroInflatedDistribution):
    """Zero with probability ``gate``, and a negative binomial count otherwise.

    ``ZeroInflatedNegativeBinomial(total_count, probs=..., gate=...)`` means the same.

    Args:
        gate: Probability of an extra zero.
        total_count: Number of failures to wait for, nonnegative.
        probs: Probability of a success, in [0, 1); or
        logits: Its log odds.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        gate_logits: Log odds of an extra zero, instead of ``gate``.
    """

    support = constraints.nonnegative_integer

    @_gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        total_count: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
        *,
        gate_logits: Tensor | float | None = None,
    ) -> None:
        base = NegativeBinomial(total_count, probs, logits, validate_args)
        self._inflate(gate, gate_logits, base, validate_args)

    @property
    def total_count(self) -> Tensor:
        """Number of failures to wait for."""
        total_count: Tensor = self.base_dist.total_count
        return total_count

    @property
    def probs(self) -> Tensor:
        """Probability of a success."""
        probs: Tensor = self.base_dist.probs
        return probs

    @property
    def logits(self) -> Tensor:
        """Log odds of a success."""
        logits: Tensor = self.base_dist.logits
        return logits


def _log_inflated(gate: Tensor, log_zero: Tensor) -> Tensor:
    """Return ``log(gate + (1 - gate) * exp(log_zero))``, with its slope at a gate of 0 or 1.

    A sum of logs has none there. Without a gate it is taken relative to ``exp(log_zero)``, which
    may be less than the smallest number.
    """
    info = torch.finfo(gate.dtype)
    unit = torch.where(gate == 0, log_zero.detach(), 0.0).clamp(min=info.min)
    inverse = (-unit).clamp(max=math.log(info.max) - 1).exp()
    return unit + (gate * inverse + (1 - gate) * (log_zero - unit).exp()).log()
