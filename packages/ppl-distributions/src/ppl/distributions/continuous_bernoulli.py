"""The exponential tilt of the unit interval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import broadcast_all
from torch.nn.functional import softplus

from ppl.distribution import TorchDistributionMixin

from .trials import BinaryParameters, finite_logits


class ContinuousBernoulli(
    BinaryParameters, torch.distributions.ContinuousBernoulli, TorchDistributionMixin
):
    """Density proportional to ``probs ** x * (1 - probs) ** (1 - x)`` on [0, 1].

    See Loaiza-Ganem and Cunningham (2019). The distance from the likelier end has an exponential
    law with rate ``abs(logits)``, cut off at 1; all is computed in terms of it.

    Args:
        probs: In [0, 1]; or
        logits: Its log odds.
        lims: Kept for programs that pass it: series are used wherever they are more accurate.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        assert given is not None
        (self._param,) = broadcast_all(given)
        setattr(self, name, self._param)
        self._lims = lims
        super(torch.distributions.ContinuousBernoulli, self).__init__(
            self._param.shape, validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(
            batch_shape, self._get_checked_instance(ContinuousBernoulli, _instance)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rate, upper = self._rate()
        return -rate * torch.where(upper, 1 - value, value) - _mass(rate).log()

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        rate, upper = self._rate()
        value = value.clamp(0.0, 1.0)
        below = value * _mass(rate * value) / _mass(rate)
        return torch.where(upper, (rate * (value - 1)).exp() * below, below)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        rate, upper = self._rate()
        mass = torch.where(upper, 1 - value, value)
        near = mass * _mass(rate)
        distance = (near * _relative_log1p(-rate * near)).clamp(0.0, 1.0)
        distance = torch.where(mass == 1, 1.0, distance)  # whatever was rounded
        return torch.where(upper, 1 - distance, distance)

    def entropy(self) -> Tensor:
        rate, _ = self._rate()
        return rate * _mean_distance(rate) + _mass(rate).log()

    @property
    def mean(self) -> Tensor:
        rate, upper = self._rate()
        distance = _mean_distance(rate)
        return torch.where(upper, 1 - distance, distance)

    @property
    def variance(self) -> Tensor:
        rate, _ = self._rate()
        return _variance(rate)

    def _rate(self) -> tuple[Tensor, Tensor]:
        """Return the rate from the likelier end, and whether that is the upper one."""
        logits = finite_logits(self)
        upper = logits > 0  # abs() would have no slope at even odds
        return torch.where(upper, logits, -logits), upper

    def _cont_bern_log_norm(self) -> Tensor:
        """Return the log of the factor that makes torch's density integrate to one."""
        rate, _ = self._rate()
        return softplus(-rate) - _mass(rate).log()


def _series(x: Tensor, bound: float, *coefficients: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return whether to use a power series, the series, and arguments for the closed form."""
    small = x.abs() < bound
    near, total = torch.where(small, x, 0.0), torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * near + coefficient
    return small, total, torch.where(small, 1.0, x)


def _mass(rate: Tensor) -> Tensor:
    """Return the integral of ``exp(-rate * x)`` over the unit interval."""
    small, series, far = _series(rate, 1e-3, 1.0, -1 / 2, 1 / 6, -1 / 24, 1 / 120)
    return torch.where(small, series, -(-far).expm1() / far)


def _mean_distance(rate: Tensor) -> Tensor:
    odd = (-1 / 12, 1 / 720, -1 / 30240, 1 / 1209600, -1 / 47900160)
    coefficients = [c for pair in zip(odd, [0.0] * 5, strict=True) for c in pair]
    small, series, far = _series(rate, 0.3, 1 / 2, *coefficients)
    return torch.where(small, series, 1 / far + (-far).exp() / (-far).expm1())


def _variance(rate: Tensor) -> Tensor:
    even = (1 / 12, -1 / 240, 1 / 6048, -1 / 172800, 1 / 5322240)
    coefficients = [c for pair in zip(even, [0.0] * 5, strict=True) for c in pair]
    small, series, far = _series(rate, 0.3, *coefficients)
    return torch.where(small, series, (1 / far).square() - (-far).exp() / (-far).expm1().square())


def _relative_log1p(x: Tensor) -> Tensor:
    """Return ``log1p(x) / x``, also at 0 and, as a large number, at -1."""
    small, series, far = _series(x, 1e-3, 1.0, -1 / 2, 1 / 3, -1 / 4, 1 / 5)
    least = torch.finfo(x.dtype).eps / 4 - 1
    return torch.where(small, series, far.clamp(min=least).log1p() / far)
