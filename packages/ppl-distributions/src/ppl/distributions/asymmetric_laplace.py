"""Laplace distributions whose two tails have their own lengths."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from .expansion import expand_parameters
from .noise import standard_exponential, standard_normal
from .parameters import broadcast_parameters
from .real_line import Normal
from .tails import log_ndtr


class _TwoTailed(TorchDistribution):
    """What laws on the real line with tails of two lengths share."""

    has_rsample = True
    support: constraints.Constraint = constraints.real

    loc: Tensor
    scale: Tensor
    asymmetry: Tensor

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @property
    def left_scale(self) -> Tensor:
        """Length of the tail on the left."""
        return self.scale * self.asymmetry

    @property
    def right_scale(self) -> Tensor:
        """Length of the tail on the right."""
        return self.scale / self.asymmetry

    @property
    def mean(self) -> Tensor:
        return self.loc + self.right_scale - self.left_scale

    def _exponentials(self, shape: torch.Size) -> Tensor:
        """Return the difference of one exponential for each tail."""
        right = self.right_scale * standard_exponential(shape, self.loc)
        return right - self.left_scale * standard_exponential(shape, self.loc)


class AsymmetricLaplace(_TwoTailed):
    """Two exponentials back to back (Kotz, Kozubowski and Podgorski 2001, section 3.1).

    Args:
        loc: Mode, where the exponentials meet.
        scale: Geometric mean of the lengths of both tails, positive.
        asymmetry: Positive; the tail on the left has length ``scale * asymmetry``, that on the
            right ``scale / asymmetry``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
    }

    loc: Tensor
    scale: Tensor
    asymmetry: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        asymmetry: Tensor | float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.asymmetry = broadcast_parameters(loc, scale, asymmetry)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.loc + self._exponentials(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        left, right = self.left_scale, self.right_scale
        x = value - self.loc
        return -x.abs() / torch.where(x < 0, left, right) - (left + right).log()

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        left, right = self.left_scale, self.right_scale
        x = value - self.loc
        below = left / (left + right) * (x.clamp(max=0.0) / left).exp()
        above = right / (left + right) * (-x.clamp(min=0.0) / right).exp()
        return torch.where(x < 0, below, 1 - above)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        left, right = self.left_scale, self.right_scale
        on_the_left = value * (left + right) < left
        below = left * (value * (left + right) / left).log()
        above = -right * ((1 - value) * (left + right) / right).log()
        return self.loc + torch.where(on_the_left, below, above)

    @property
    def variance(self) -> Tensor:
        return self.left_scale.square() + self.right_scale.square()


class SoftAsymmetricLaplace(_TwoTailed):
    """Sum of an :class:`AsymmetricLaplace` variable and a normal one; its density is smooth.

    This is the normal-Laplace law of Reed and Jorgensen (2004).

    Args:
        loc: Mode of the Laplace part.
        scale: Geometric mean of the lengths of both tails, positive.
        asymmetry: Positive; the tail on the left has length ``scale * asymmetry``, that on the
            right ``scale / asymmetry``.
        softness: Deviation of the normal part in units of ``scale``, positive.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
        "softness": constraints.positive,
    }

    loc: Tensor
    scale: Tensor
    asymmetry: Tensor
    softness: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        asymmetry: Tensor | float = 1.0,
        softness: Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.asymmetry, self.softness = broadcast_parameters(
            loc, scale, asymmetry, softness
        )
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def soft_scale(self) -> Tensor:
        """Deviation of the normal part."""
        return self.scale * self.softness

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = self.soft_scale * standard_normal(shape, self.loc)
        return self.loc + self._exponentials(shape) + noise

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        left, right, soft = self.left_scale, self.right_scale, self.soft_scale
        z = (value - self.loc) / soft
        tails = torch.logaddexp(_log_tail(z, soft / right), _log_tail(-z, soft / left))
        return tails - (left + right).log()

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        left, right, soft = self.left_scale, self.right_scale, self.soft_scale
        z = (value - self.loc) / soft
        above = right * _log_tail(z, soft / right).exp()
        below = left * _log_tail(-z, soft / left).exp()
        normal = (-z / math.sqrt(2)).erfc() / 2
        return (normal + (below - above) / (left + right)).clamp(0.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``, by bisection."""
        inside = (value > 0) & (value < 1)
        p = torch.where(inside, value, 0.5)
        with torch.no_grad():
            x = self._bisect(p)
        x = x + (p - self.cdf(x)) / self.log_prob(x).exp().detach()  # for the gradient
        return torch.where(value > 0, torch.where(inside, x, torch.inf), -torch.inf)

    def _bisect(self, p: Tensor) -> Tensor:
        """Return the quantile between the sums of those of both parts that must enclose it."""
        parts = (
            AsymmetricLaplace(self.loc, self.scale, self.asymmetry, validate_args=False),
            Normal(torch.zeros_like(self.loc), self.soft_scale, validate_args=False),
        )
        low, high = (parts[0].icdf(q) + parts[1].icdf(q) for q in (p / 2, 0.5 + p / 2))
        for _ in range(64):
            middle = (low + high) / 2
            is_low = self.cdf(middle) < p
            low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
        return high

    @property
    def variance(self) -> Tensor:
        tails = self.left_scale.square() + self.right_scale.square()
        return tails + self.soft_scale.square()


def _log_tail(z: Tensor, rate: Tensor) -> Tensor:
    """Return the log of ``E[exp(-rate (z - Z)); Z < z]`` for a standard normal ``Z``.

    It is ``exp(rate^2 / 2 - rate z) Phi(z - rate)`` (Reed and Jorgensen 2004, equation 10). Where
    the argument of Phi is negative both factors are extreme, and cancel in the form with erfcx.
    """
    t = z - rate
    mills = torch.special.erfcx(-t.clamp(max=0.0) / math.sqrt(2)) / 2
    body = rate.square() / 2 - rate * z + log_ndtr(t.clamp(min=0.0))
    return torch.where(t < 0, mills.log() - z.square() / 2, body)
