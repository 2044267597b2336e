"""Counts and amounts whose zeros have a reason of their own."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .counts import Geometric, NegativeBinomial, Poisson
from .gate import Gated, gate_by_name
from .mixture import log_prob_where
from .noise import standard_gamma, standard_uniform
from .tails import log1mexp


class Hurdle(Gated):
    """Zero with probability ``gate``, else a draw of ``base_dist`` that is not zero (Mullahy 1986).

    The base distribution is over counts, and then truncated at zero, or over positive numbers. In
    contrast to zero inflation, all zeros come from the gate. As there, the gate may also be passed
    by name after the other arguments: ``Hurdle(base_dist, gate=...)``.

    Args:
        gate: Probability of zero, or ``None``.
        base_dist: Univariate.
        gate_logits: Log odds of zero, instead of ``gate``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        SiteError: If not exactly one of ``gate`` and ``gate_logits`` is given, or if ``base_dist``
            has event dimensions.

    Example:
        >>> Hurdle(0.25, Poisson(torch.tensor(2.0))).log_prob(torch.tensor(0.0)).exp()
        tensor(0.2500)
    """

    @gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        base_dist: Any,
        *,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set_gate(gate, gate_logits, base_dist, validate_args)

    @property
    def base_distribution(self) -> Any:
        """The distribution before its zeros are taken away."""
        return self.base_dist

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        discrete = self.base_dist.is_discrete
        return constraints.nonnegative_integer if discrete else constraints.nonnegative

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            log_gate, _ = self._log_gate()
            shape = self._extended_shape(sample_shape)
            base = self.base_dist
            x = sample_nonzero(base, shape) if base.is_discrete else base.sample(sample_shape)
            return torch.where(standard_uniform(shape, log_gate).log() < log_gate, 0.0, x)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_gate, log_open = self._log_gate()
        is_zero = value == 0
        density = log_prob_where(self.base_dist, value, ~is_zero)
        return torch.where(is_zero, log_gate, log_open - self._log_nonzero() + density)

    def _log_nonzero(self) -> Tensor:
        """Return the log probability that the base distribution gives to the nonzero numbers."""
        if not self.base_dist.is_discrete:
            return torch.zeros_like(self._log_gate()[0])
        log_zero: Tensor = self.base_dist.log_prob(torch.zeros_like(self._log_gate()[0]))
        return log1mexp(log_zero)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.base_dist.mean
        return (self._log_gate()[1] - self._log_nonzero()).exp() * mean

    @property
    def variance(self) -> Tensor:
        second: Tensor = self.base_dist.variance + self.base_dist.mean.square()
        return (self._log_gate()[1] - self._log_nonzero()).exp() * second - self.mean.square()


class HurdlePoisson(Hurdle):
    """Zero with probability ``gate``, else Poisson of mean ``rate`` truncated at zero.

    Args:
        gate: Probability of zero, or ``None``.
        rate: Mean of the Poisson before truncation.
        gate_logits: Log odds of zero, instead of ``gate``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    @gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        rate: Tensor | float,
        *,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Poisson(rate, validate_args=validate_args)
        self._set_gate(gate, gate_logits, base, validate_args)


class HurdleNegativeBinomial(Hurdle):
    """Zero with probability ``gate``, else negative binomial truncated at zero.

    Args:
        gate: Probability of zero, or ``None``.
        total_count: Failures to stop at.
        probs: Probability of success.
        logits: Log odds of success, instead of ``probs``.
        gate_logits: Log odds of zero, instead of ``gate``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    @gate_by_name
    def __init__(
        self,
        gate: Tensor | float | None,
        total_count: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        *,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = NegativeBinomial(total_count, probs, logits, validate_args=validate_args)
        self._set_gate(gate, gate_logits, base, validate_args)


@singledispatch
def sample_nonzero(dist: Any, shape: torch.Size) -> Tensor:
    """Return draws that are not zero, by drawing again those that are.

    The geometric, the Poisson and the negative binomial take one pass, however likely their zeros.
    """
    x: Tensor = dist.expand(shape).sample()
    while (x == 0).any():
        x = torch.where(x == 0, dist.expand(shape).sample(), x)
    return x


@sample_nonzero.register
def _(dist: Geometric, shape: torch.Size) -> Tensor:
    """Wait once more: what follows the first failure is geometric again."""
    x: Tensor = dist.expand(shape).sample()
    return 1 + x


@sample_nonzero.register
def _(dist: Poisson, shape: torch.Size) -> Tensor:
    """Draw the time of the first arrival before ``rate``, and count those that follow."""
    return 1 + torch.poisson(dist.rate - _first_arrival(dist.rate.expand(shape)))


@sample_nonzero.register
def _(dist: NegativeBinomial, shape: torch.Size) -> Tensor:
    """Draw a sum of logarithmic variables whose number is a Poisson variable (Quenouille 1949).

    The first summand comes by the method of Kemp (1981); those that follow the first arrival add
    up to a negative binomial again.
    """
    log_failure = -torch.nn.functional.softplus(dist.logits)
    rate = (-dist.total_count * log_failure).expand(shape)
    rest = dist.total_count * (1 - _first_arrival(rate) / rate)
    u, v = standard_uniform(shape, rate), standard_uniform(shape, rate)
    first = 1 + (v.log() / log1mexp(u * log_failure)).floor()
    return first + torch.poisson(standard_gamma(rest) * dist.logits.exp())


def _first_arrival(rate: Tensor) -> Tensor:
    """Return the first point of a unit Poisson process, given that it comes before ``rate``."""
    u = standard_uniform(rate.shape, rate)
    return -(u * (-rate).expm1()).log1p()
