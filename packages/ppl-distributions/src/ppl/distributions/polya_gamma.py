"""The Polya-Gamma distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import expanded_shape
from ppl.distribution.util import broadcast_shape

from .noise import standard_uniform

_TERMS = 5  # of each alternating series: more than 16 digits on its side of _SPLIT
_SPLIT = 0.16  # where both series converge equally fast
_UPPER = 2.5
_NODES = 256
_LOWEST = 0.0016  # below lies less than 1e-33


class TruncatedPolyaGamma(TorchDistribution):
    """Polya-Gamma PG(1, 0), given that it is at most 2.5, as are all but 6e-6 of it.

    It augments a logistic likelihood to a Gaussian one (Polson, Scott and Windle 2013):
    ``sigmoid(x) = E[exp(x / 2 - w * x ** 2 / 2)] / 2``.

    Args:
        prototype: A tensor with the type and device of the draws; its shape does not matter.
        validate_args: Whether to check values; the global default if ``None``.

    Example:
        >>> TruncatedPolyaGamma(torch.zeros(())).log_prob(torch.tensor(0.25))
        tensor(0.6040)
    """

    truncation_point = _UPPER
    arg_constraints: dict[str, constraints.Constraint] = {}
    support: constraints.Constraint = constraints.interval(0.0, _UPPER)

    def __init__(self, prototype: Tensor, validate_args: bool | None = None) -> None:
        self.prototype: Tensor = prototype.new_empty(())
        super().__init__(validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(TruncatedPolyaGamma, _instance)
        new.prototype = self.prototype
        super(TruncatedPolyaGamma, new).__init__(
            expanded_shape(self, batch_shape), validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shape(value.shape, self.batch_shape)
        return _log_density(value.to(self.prototype).expand(shape)) - math.log1p(-_BEYOND)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw by inversion of the cdf: a table of it, and Newton's method from there."""
        with torch.no_grad():
            u = standard_uniform(self._extended_shape(sample_shape), self.prototype).double()
            u = u * (1 - _BEYOND)
            x = torch.linspace(
                math.log(_LOWEST), math.log(_UPPER), _NODES, dtype=u.dtype, device=u.device
            ).exp()
            table = _cdf(x)
            right = torch.searchsorted(table, u).clamp(1, _NODES - 1)
            low, high = x[right - 1], x[right]
            share = (u - table[right - 1]) / (table[right] - table[right - 1])
            draw = torch.lerp(low, high, share.clamp(0, 1))
            for _ in range(3):
                draw = draw - (_cdf(draw) - u) * (-_log_density(draw)).exp()
                draw = draw.maximum(low).minimum(high)
            return draw.to(self.prototype)


def _log_density(x: Tensor) -> Tensor:
    """Return the log density of PG(1, 0), by one of two alternating series.

    Left of the split it is a sum of inverse Gaussian terms, right of it of exponential ones
    (Polson et al. 2013, equation 12 and section 4.1; Devroye 2009).
    """
    is_left = x < _SPLIT
    near, far = torch.where(is_left, x, _SPLIT), torch.where(is_left, _SPLIT, x)
    left = 1 + sum(
        (-1) ** n * (2 * n + 1) * ((1 - (2 * n + 1) ** 2) / (8 * near)).exp()
        for n in range(1, _TERMS)
    )
    right = 1 + sum(
        (-1) ** n * (2 * n + 1) * (2 * math.pi**2 * (0.25 - (n + 0.5) ** 2) * far).exp()
        for n in range(1, _TERMS)
    )
    log_left = left.log() - 1 / (8 * near) - 1.5 * near.log() - math.log(2 * math.pi) / 2
    log_right = right.log() - math.pi**2 / 2 * far + math.log(2 * math.pi)
    return torch.where(is_left, log_left, log_right)


def _cdf(x: Tensor) -> Tensor:
    """Return the cdf of PG(1, 0), by the same series integrated."""
    left = 2 * sum((-1) ** n * torch.erfc((2 * n + 1) / (8 * x).sqrt()) for n in range(_TERMS))
    right = 1 - _survival(x)
    return torch.where(x < _SPLIT, left, right)


def _survival(x: Tensor) -> Tensor:
    terms = (
        (-1) ** n / (2 * n + 1) * (-2 * (math.pi * (n + 0.5)) ** 2 * x).exp() for n in range(_TERMS)
    )
    return 4 / math.pi * sum(terms, start=torch.zeros_like(x))


_BEYOND = _survival(torch.tensor(_UPPER, dtype=torch.float64)).item()
