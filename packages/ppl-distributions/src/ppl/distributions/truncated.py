"""Univariate distributions restricted to an interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from ppl.distribution import TorchDistribution

from .bounds import BOUND, Bound, broadcast_bounds, interval, log_mass
from .expansion import expand_parameters
from .noise import standard_exponential
from .quadrature import probability_rule
from .tails import (
    has_quantiles,
    inverse_log_cdf,
    inverse_log_survival,
    log1mexp,
    log_cdf,
    log_survival,
)


class Truncated(TorchDistribution):
    """A continuous univariate distribution, given that its value lies between two bounds.

    The mass of the interval is the difference of two log cdfs or, above the median, of two log
    survival functions, so that an interval far out in either tail keeps all digits for the
    families of :data:`ppl.distributions.tails.TAILS`. The density outside is 0 even without
    validation.

    Args:
        base_dist: Has a ``cdf``. Draws need its ``icdf``; they are reparameterized in its
            parameters and in the bounds.
        low: Lower bound; none by default.
        high: Upper bound; none by default.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ValueError: If there is no bound or, while validation is on, nothing between them.

    Example:
        >>> from ppl.distributions import Normal
        >>> Truncated(Normal(0.0, 1.0), low=20.0).log_prob(torch.tensor(20.0))
        tensor(2.9982)
    """

    arg_constraints: dict[str, constraints.Constraint] = {"low": BOUND, "high": BOUND}

    low: Tensor | None = None
    high: Tensor | None = None
    base_distribution: Any

    def __init__(
        self,
        base_dist: Any,
        low: Bound = None,
        high: Bound = None,
        validate_args: bool | None = None,
    ) -> None:
        if low is None and high is None:
            raise ValueError("Truncated: expected a bound, low or high or both")
        self.base_distribution, bounds = broadcast_bounds(base_dist, low=low, high=high)
        self.__dict__.update(bounds)
        self.has_rsample: bool = has_quantiles(base_dist)
        super().__init__(self.base_distribution.batch_shape, validate_args=validate_args)
        if self._validate_args and len(bounds) == 2 and not (bounds["low"] < bounds["high"]).all():
            raise ValueError(f"Truncated: expected low < high, got {bounds}")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return interval(self.base_distribution.support, self.low, self.high)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return draws by inversion."""
        masses = self._masses()
        noise = standard_exponential(self._extended_shape(sample_shape), masses.larger)
        return self._quantile(masses, -noise)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nearest = value.clamp(self.low, self.high)
        density = self.base_distribution.log_prob(nearest) - self._masses().log_difference()
        return torch.where(value == nearest, density, -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        high = value.clamp(self.low, self.high)
        below = Truncated(self.base_distribution, self.low, high, validate_args=False)
        return (below._masses().log_difference() - self._masses().log_difference()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        masses = self._masses()
        x = self._quantile(masses, torch.where(masses.is_upper, (-value).log1p(), value.log()))
        support = self.support  # whose ends are not rounded
        if hasattr(support, "lower_bound"):
            x = torch.where(value == 0, support.lower_bound, x)
        return (
            torch.where(value == 1, support.upper_bound, x)
            if hasattr(support, "upper_bound")
            else x
        )

    @property
    def mean(self) -> Tensor:
        """The mean, by quadrature that is exact up to rounding unless a tail is heavy.

        Where the support has no end and the base no mean, it is what the base calls its mean.
        """
        values, weights = self._quantiles()
        return self._where_it_exists((weights * values).sum(0), "mean")

    @property
    def variance(self) -> Tensor:
        """The variance, in the same way."""
        values, weights = self._quantiles()
        deviations = values - (weights * values).sum(0)
        return self._where_it_exists((weights * deviations.square()).sum(0), "variance")

    def _quantiles(self) -> tuple[Tensor, Tensor]:
        """Return quantiles and the probability that each stands for, ``(node, *batch)``."""
        masses, ones = self._masses(), (1,) * len(self.batch_shape)
        logits, weights = (x.reshape(-1, *ones) for x in probability_rule(masses.larger))
        return self._quantile(masses, logsigmoid(logits)), weights

    def _where_it_exists(self, moment: Tensor, name: str) -> Tensor:
        """Return a moment of a finite interval, or of what has a finite one without bounds."""
        try:
            of_base: Tensor = getattr(self.base_distribution, name)
        except NotImplementedError:
            of_base = torch.full_like(moment, torch.nan)
        low, high = (
            torch.as_tensor(getattr(self.support, end, torch.inf))
            for end in ("lower_bound", "upper_bound")
        )
        exists = of_base.isfinite() | (low.isfinite() & high.isfinite())
        return torch.where(exists, moment, of_base)

    def _quantile(self, masses: _Masses, log_p: Tensor) -> Tensor:
        """Return the value beyond which lies ``log_p``, in the log space of the tail it is in."""
        log_p = log_p + masses.log_difference()
        if masses.smaller is not None:
            log_p = torch.logaddexp(masses.smaller, log_p)
        x = torch.where(
            masses.is_upper,
            inverse_log_survival(self.base_distribution, torch.where(masses.is_upper, log_p, -1.0)),
            inverse_log_cdf(self.base_distribution, torch.where(masses.is_upper, -1.0, log_p)),
        )
        return x.clamp(self.low, self.high)

    def _masses(self) -> _Masses:
        """Return the log masses from the bounds outwards, all to the same side.

        This is the upper side where the lower bound is above the median or the only one.
        """
        base, low, high = self.base_distribution, self.low, self.high
        if low is None:
            assert high is not None
            return _Masses(
                log_mass(log_cdf, base, high, 0.0), None, high.new_zeros((), dtype=torch.bool)
            )
        above_low = log_mass(log_survival, base, low, 0.0)
        if high is None:
            return _Masses(above_low, None, low.new_ones((), dtype=torch.bool))
        below_low = log_mass(log_cdf, base, low, -torch.inf)
        below_high = log_mass(log_cdf, base, high, 0.0)
        above_high = log_mass(log_survival, base, high, -torch.inf)
        is_upper = below_low > above_low
        larger = torch.where(is_upper, above_low, below_high)
        return _Masses(larger, torch.where(is_upper, above_high, below_low), is_upper)


class _Masses(NamedTuple):
    """The interval as the difference of two tails: log masses, and whether these are the upper."""

    larger: Tensor
    smaller: Tensor | None
    is_upper: Tensor

    def log_difference(self) -> Tensor:
        """Return the log of the difference of both masses."""
        if self.smaller is None:
            return self.larger
        return self.larger + log1mexp(self.smaller - self.larger)
