"""Distributions over an interval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import SigmoidTransform
from torch.nn.functional import logsigmoid

from ppl.distribution import Distribution, TorchDistributionMixin
from ppl.ops.powers import log_power
from ppl.ops.small import plain_if_small

from . import saddle_point, textbook
from .closed_forms import entropy_in_double
from .conjugacy import multiply_dirichlets
from .noise import keep_inside_unit, sample_dirichlet, standard_exponential, standard_uniform
from .parameters import broadcast_parameters
from .transformed import TransformedDistribution
from .trials import BinaryParameters


class Beta(torch.distributions.Beta, TorchDistributionMixin):
    """Beta with ``concentration1 > 0`` (heads), ``concentration0 > 0`` (tails), on (0, 1)."""

    entropy = entropy_in_double(torch.distributions.Beta)

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        # beside torch's stack of both: a compiler would evaluate a density of its parts twice
        heads, tails = self._pair = broadcast_parameters(concentration1, concentration0)
        super().__init__(heads, tails, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, self._get_checked_instance(Beta, _instance))
        new._pair = tuple(x.expand(batch_shape) for x in self._concentrations())
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        concentration = self._dirichlet.concentration
        shape = self._extended_shape(sample_shape) + concentration.shape[-1:]
        return keep_inside_unit(sample_dirichlet(concentration.expand(shape))[..., 0])

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.beta(value, *self._concentrations())

    def _concentrations(self) -> tuple[Tensor, ...]:
        pair: tuple[Tensor, ...] | None = self.__dict__.get("_pair")  # one of torch has none
        return (self.concentration1, self.concentration0) if pair is None else pair

    def conjugate_update(self, other: Distribution) -> tuple[Beta, Tensor]:
        """Return the normalized product with another beta density, and its log normalizer."""
        if not isinstance(other, Beta):
            return super().conjugate_update(other)
        pair, log_normalizer = multiply_dirichlets(
            self._dirichlet.concentration, other._dirichlet.concentration
        )
        return Beta(pair[..., 0], pair[..., 1]), log_normalizer


class Kumaraswamy(torch.distributions.Kumaraswamy, TransformedDistribution):
    """Kumaraswamy with ``concentration1 > 0`` and ``concentration0 > 0``, on [0, 1]."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        heads, tails = self.concentration1, self.concentration0
        positive = value > 0
        rest = -(heads * torch.where(positive, value, 1.0).log()).expm1()  # 1 - value ** heads
        rest = torch.where(positive, rest, 1.0)
        normalizer = heads.log() + tails.log()
        return normalizer + log_power(heads - 1, value) + log_power(tails - 1, rest)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        log_survival = -standard_exponential(shape, self.concentration1)
        return keep_inside_unit(self._quantile(log_survival))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        return -(self.concentration0 * (-(value**self.concentration1)).log1p()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        return self._quantile((-value).log1p())

    def _quantile(self, log_survival: Tensor) -> Tensor:
        power = -(log_survival / self.concentration0).expm1()
        return power ** (1 / self.concentration1)


class _LogitRelaxedBernoulli(
    BinaryParameters,
    torch.distributions.relaxed_bernoulli.LogitRelaxedBernoulli,
    TorchDistributionMixin,
):
    """Logistic variable around the log odds, divided by the temperature."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        u = standard_uniform(self._extended_shape(sample_shape), self._param)
        noise = u.log() - _below_one(u).log1p()
        draw: Tensor = (noise + self.logits) / self.temperature
        return draw

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        gap = self.logits - value * self.temperature
        return self.temperature.log() + logsigmoid(gap) + logsigmoid(-gap)


def _below_one(u: Tensor) -> Tensor:
    """Return ``-u``, above -1: single precision rounds some uniform variables to 1."""
    return -u.clamp(max=1 - torch.finfo(u.dtype).eps / 2)


class RelaxedBernoulli(torch.distributions.RelaxedBernoulli, TransformedDistribution):
    """Concrete relaxation of a Bernoulli at a ``temperature``, on [0, 1] (Maddison et al. 2017)."""

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = _LogitRelaxedBernoulli(temperature, probs, logits, validate_args=validate_args)
        TransformedDistribution.__init__(self, base, SigmoidTransform(), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(RelaxedBernoulli, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, equation (20) of the paper; its limit at 0 and at 1."""
        if self._validate_args:
            self._validate_sample(value)
        return _relaxed_bernoulli(value, self.temperature, self.logits)


@plain_if_small(textbook.relaxed_bernoulli)
def _relaxed_bernoulli(value: Tensor, temperature: Tensor, logits: Tensor) -> Tensor:
    """Return the density of a logistic variable around the log odds, times the slope of its own.

    At 0 and at 1 it is 0 or infinite, unless the temperature is 1.
    """
    low, high = value == 0, value == 1
    x = torch.where(low | high, 0.5, value)
    log, log_rest = x.log(), (-x).log1p()
    gap = logits + temperature * (log_rest - log)
    distance = torch.where(gap > 0, gap, -gap)
    inside = -distance - 2 * (-distance).exp().log1p() - log - log_rest
    at_ends = torch.xlogy(temperature - 1, (x == value).to(x.dtype))
    density = torch.where(low, -logits, torch.where(high, logits, inside))
    return temperature.log() + at_ends + density


class Uniform(torch.distributions.Uniform, TorchDistributionMixin):
    """Uniform on ``low <= x <= high``; the density outside is 0 even without validation."""

    real_parameters = ("low", "high")

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = (self.low <= value) & (value <= self.high)
        return torch.where(inside, -(self.high - self.low).log(), -torch.inf)

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        return torch.Size(torch.broadcast_shapes(*arg_shapes.values())), torch.Size()
