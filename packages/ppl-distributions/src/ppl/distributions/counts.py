"""Distributions over counts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from ppl import settings
from ppl.distribution import TorchDistributionMixin
from ppl.errors import SupportError
from ppl.ops.powers import log_nonnegative, log_power, log_power_of_rest, multiply_log
from ppl.ops.special import log_binomial

from . import saddle_point
from .noise import standard_gamma, standard_uniform
from .trials import (
    BinaryParameters,
    enumerate_counts,
    is_given,
    log_trial,
    log_trials,
    trial_entropy,
)


class Bernoulli(BinaryParameters, torch.distributions.Bernoulli, TorchDistributionMixin):
    """Bernoulli with success probability ``probs`` or log odds ``logits``, on {0, 1}."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return log_trial(self, value)

    def entropy(self) -> Tensor:
        return trial_entropy(self)

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.probs * self._failure_probs
        return variance


class Binomial(BinaryParameters, torch.distributions.Binomial, TorchDistributionMixin):
    """Successes among ``total_count`` trials of probability ``probs`` (or ``logits``).

    Attributes:
        approx_sample_thresh: Draws of more trials than this are those of a Poisson of the rarer
            outcome, which is faster; none by default.
        approx_log_prob_tol: Absolute error (nats) up to which a faster binomial coefficient may be
            used; exact by default. Both are set on the class or on one distribution.
    """

    approx_sample_thresh: float = math.inf
    approx_log_prob_tol: float = 0.0

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        # vmap follows only if both arguments are batched, which a constant count is not
        with torch.no_grad():
            probs = self.probs.expand(self._extended_shape(sample_shape))
            total = self.total_count + torch.zeros_like(probs)
            thresh = self.approx_sample_thresh
            if thresh == math.inf:
                return torch.binomial(total, probs)
            exact = torch.binomial(total.clamp(max=thresh), probs)
            return torch.where(total <= thresh, exact, _poisson_of_the_rarer(total, probs))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob(value)

    def _log_prob(self, value: Tensor) -> Tensor:
        if self.approx_log_prob_tol:
            failures = self.total_count - value
            log_choices = log_binomial(self.total_count, value, tol=self.approx_log_prob_tol)
            return log_choices + log_trials(self, value, failures)
        if is_given(self, "probs"):
            return saddle_point.binomial(value, self.total_count, self.probs)
        return saddle_point.binomial_of_logits(value, self.total_count, self.logits)

    def entropy(self) -> Tensor:
        """Return the entropy by its sum, which has as many terms as the largest total."""
        probs, total = self.probs, self.total_count
        most = int(total.max()) if total.numel() else 0
        counts = torch.arange(1.0 + most, dtype=probs.dtype, device=probs.device)
        counts = counts.reshape(-1, *[1] * probs.dim())
        within = counts <= total
        mass = self._log_prob(torch.minimum(counts, total)).exp()
        return -log_power(mass, mass).where(within, 0.0).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0, 1, ..., ``total_count``: the totals of a batch must be equal."""
        return enumerate_counts(self, expand)

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.total_count * self.probs * self._failure_probs
        return variance


class Geometric(BinaryParameters, torch.distributions.Geometric, TorchDistributionMixin):
    """Failures before the first success of probability ``probs`` (or ``logits``), on 0, 1, ..."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            u = standard_uniform(self._extended_shape(sample_shape), self.probs)
            return (u.log() / self._log_failure()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        if is_given(self, "probs"):
            return log_power_of_rest(value, self.probs) + log_nonnegative(self.probs)
        return multiply_log(value, self._log_failure()) + logsigmoid(self.logits)

    def _log_failure(self) -> Tensor:
        given_probs = is_given(self, "probs")
        return (-self.probs).log1p() if given_probs else logsigmoid(-self.logits)

    def entropy(self) -> Tensor:
        entropy: Tensor = trial_entropy(self) / self.probs
        return entropy

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self._failure_probs / self.probs
        return mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.mean / self.probs
        return variance


class NegativeBinomial(
    BinaryParameters, torch.distributions.NegativeBinomial, TorchDistributionMixin
):
    """Successes of probability ``probs`` (or ``logits``) before ``total_count`` failures."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return draws of a Poisson whose mean is a gamma variable."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            return torch.poisson(standard_gamma(self.total_count.expand(shape)) * self._odds())

    def _odds(self) -> Tensor:
        given_probs = is_given(self, "probs")
        odds: Tensor = self.probs / (1 - self.probs) if given_probs else self.logits.exp()
        return odds

    @property
    def mean(self) -> Tensor:
        return self.total_count * self._odds()

    @property
    def variance(self) -> Tensor:
        return self.mean / self._failure_probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self._odds()).floor().clamp(min=0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        if is_given(self, "probs"):
            return saddle_point.negative_binomial(value, self.total_count, self.probs)
        return saddle_point.negative_binomial_of_logits(value, self.total_count, self.logits)


class Poisson(torch.distributions.Poisson, TorchDistributionMixin):
    """Poisson with mean ``rate >= 0``, on 0, 1, ...

    Args:
        rate: The mean.
        validate_args: Whether to check arguments and values; the global default if ``None``.
        is_sparse: Whether most values are 0, so that it pays to find the others and compute the
            rest of the density for them alone. Such a density cannot be recorded.
    """

    is_sparse: bool = False

    def __init__(
        self,
        rate: Tensor | float,
        validate_args: bool | None = None,
        *,
        is_sparse: bool = False,
    ) -> None:
        self.is_sparse = is_sparse
        super().__init__(rate, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Poisson, _instance)
        new.is_sparse = self.is_sparse
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        if not self.is_sparse:
            return saddle_point.poisson(value, self.rate)
        rate, value = broadcast_all(self.rate, value)
        index = value.nonzero(as_tuple=True)
        return (-rate).index_put(index, saddle_point.poisson(value[index], rate[index]))

    def entropy(self) -> Tensor:
        return _poisson_entropy(self.rate)


def _poisson_entropy(rate: Tensor) -> Tensor:
    """Return the entropy by its sum, or from a mean of 100 on by its expansion in ``1 / rate``."""
    many = rate > _MANY
    few, large = torch.where(many, _MANY, rate), torch.where(many, rate, _MANY)
    counts = torch.arange(2.0 * _MANY + 50, dtype=rate.dtype, device=rate.device)
    counts = counts.reshape(-1, *[1] * rate.dim())
    log_probs = log_power(counts, few) - few - (counts + 1).lgamma()
    total = -multiply_log(log_probs.exp(), log_probs).sum(0)
    x = 1 / large
    expansion = (2 * math.pi * math.e * large).log() / 2 - x / 12 - x**2 / 24 - 19 * x**3 / 360
    return torch.where(many, expansion, total)


_MANY = 100.0


def _poisson_of_the_rarer(total: Tensor, probs: Tensor) -> Tensor:
    """Return approximate draws of a binomial: the rarer outcome is nearly a Poisson variable."""
    rare = torch.minimum(probs, 1 - probs)
    count = torch.minimum(torch.poisson(total * rare), total)
    return torch.where(probs < 0.5, count, total - count)


def _check_tolerance(value: float) -> None:
    if value < 0:
        raise SupportError(f"an approximation of Binomial needs a number of 0 or more, got {value}")


for _attribute in ("approx_sample_thresh", "approx_log_prob_tol"):
    settings.register(
        f"binomial_{_attribute}", __name__, f"Binomial.{_attribute}", _check_tolerance
    )
