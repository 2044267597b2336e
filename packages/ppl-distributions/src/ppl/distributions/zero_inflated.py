"""Distributions with extra zeros (Lambert 1992)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .counts import NegativeBinomial, Poisson
from .gate import Gated, gate_by_name


class ZeroInflatedDistribution(Gated):
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

    @gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        base_dist: Any,
        validate_args: bool | None = None,
        *,
        gate_logits: Tensor | float | None = None,
    ) -> None:
        self._set_gate(gate, gate_logits, base_dist, validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        return self.base_dist.support

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

    support: constraints.Constraint = constraints.nonnegative_integer
    base_dist: Poisson

    @gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        rate: Tensor | float,
        validate_args: bool | None = None,
        *,
        gate_logits: Tensor | float | None = None,
    ) -> None:
        base = Poisson(rate, validate_args=validate_args)
        self._set_gate(gate, gate_logits, base, validate_args)

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

    support: constraints.Constraint = constraints.nonnegative_integer
    base_dist: NegativeBinomial

    @gate_by_name
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
        self._set_gate(gate, gate_logits, base, validate_args)

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
