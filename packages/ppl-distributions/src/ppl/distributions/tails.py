"""Log probabilities of the tails of univariate distributions, and their inverses.

``cdf(x).log()`` is -inf where the cdf underflows, and ``(1 - cdf(x)).log()`` is so where it rounds
to 1: six deviations above the mean in single precision. The functions here keep all digits far
beyond for the families of :data:`TAILS`, and take the way over the cdf for all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributions as td
from torch import Tensor
from torch.nn.functional import logsigmoid

from ppl.ops.double import in_double

from .logistic import Logistic, SkewLogistic

LOG_2 = math.log(2)


def log_cdf(dist: Any, value: Tensor) -> Tensor:
    """Return the log probability (nats) of a draw at most ``value``.

    Args:
        dist: A univariate distribution, in :data:`TAILS` or with a ``cdf``.
        value: Shape ``(*sample, *batch)``.

    Example:
        >>> log_cdf(td.Normal(0.0, 1.0), torch.tensor(-40.0))
        tensor(-804.6085)
    """
    return _tails(dist).lower.log_mass(dist, value)


def log_survival(dist: Any, value: Tensor) -> Tensor:
    """Return the log probability (nats) of a draw above ``value``; see :func:`log_cdf`."""
    return _tails(dist).upper.log_mass(dist, value)


def inverse_log_cdf(dist: Any, log_p: Tensor) -> Tensor:
    """Return the value whose :func:`log_cdf` is ``log_p``."""
    return _tails(dist).lower.quantile(dist, log_p)


def inverse_log_survival(dist: Any, log_p: Tensor) -> Tensor:
    """Return the value whose :func:`log_survival` is ``log_p``."""
    return _tails(dist).upper.quantile(dist, log_p)


def has_quantiles(dist: Any) -> bool:
    """Return whether the inverse functions are implemented for ``dist``."""
    return _tails(dist) not in (_BY_CDF, _GAMMA) or type(dist).icdf is not td.Distribution.icdf


def log1mexp(x: Tensor) -> Tensor:
    """Return ``log(1 - exp(x))``, -inf for ``x >= 0``; a gradient is finite even there."""
    inside = x < 0
    safe = torch.where(inside, x, -1.0)  # expm1 keeps the digits near 0, log1p where exp is tiny
    near = safe > -LOG_2
    result = torch.where(
        near,
        (-torch.where(near, safe, -1.0).expm1()).log(),
        (-torch.where(near, -1.0, safe).exp()).log1p(),
    )
    return torch.where(inside, result, -torch.inf)


def log_ndtr(x: Tensor) -> Tensor:
    """Return the log cdf of Normal(0, 1).

    torch has this function, but ``vmap`` would loop over it.
    """
    negative = x < 0
    left = torch.where(negative, x, 0.0) / -math.sqrt(2)
    right = torch.where(negative, 0.0, x) / math.sqrt(2)
    tail = (torch.special.erfcx(left) / 2).log() - left.square()
    return torch.where(negative, tail, (-torch.erfc(right) / 2).log1p())


def log_ndtri(log_p: Tensor) -> Tensor:
    """Return the ``x`` with ``log(Phi(x)) = log_p``, also where ``exp(log_p)`` underflows.

    There Newton's method starts from ``Phi(x) = exp(-x^2 / 2)``; the log of Phi is concave and
    almost quadratic, so three steps reach all digits.
    """
    far = log_p < math.log(torch.finfo(log_p.dtype).tiny)
    high = log_p > -LOG_2
    low = torch.special.ndtri(torch.where(far | high, -1.0, log_p).exp())
    near = torch.where(high, -torch.special.ndtri(-torch.where(high, log_p, -1.0).expm1()), low)
    x = -(-2 * torch.where(far, log_p, -100.0)).sqrt()
    for _ in range(3):
        slope = math.sqrt(2 / math.pi) / torch.special.erfcx(x / -math.sqrt(2))
        x = x + (torch.where(far, log_p, -100.0) - log_ndtr(x)) / slope
    return torch.where(far, x, near)


class _Tail(NamedTuple):
    """One tail: its log mass at ``(dist, value)``, and the inverse at ``(dist, log_p)``."""

    log_mass: Callable[[Any, Tensor], Tensor]
    quantile: Callable[[Any, Tensor], Tensor]


class Tails(NamedTuple):
    """Both tails of a family."""

    lower: _Tail
    upper: _Tail


def _symmetric(log_cdf: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor]) -> Tails:
    """Return the tails of a symmetric family with ``loc`` and ``scale``, from the standard one."""
    return Tails(
        _Tail(
            lambda d, x: log_cdf((x - d.loc) / d.scale), lambda d, p: d.loc + d.scale * inverse(p)
        ),
        _Tail(
            lambda d, x: log_cdf((d.loc - x) / d.scale), lambda d, p: d.loc - d.scale * inverse(p)
        ),
    )


def _complement(tail: _Tail) -> _Tail:
    """Return the other tail."""
    return _Tail(
        lambda d, x: log1mexp(tail.log_mass(d, x)), lambda d, p: tail.quantile(d, log1mexp(p))
    )


def _by_upper(log_mass: Callable[[Any, Tensor], Tensor], quantile: Any) -> Tails:
    """Return both tails of a family with a simple upper one; below the support it is all mass."""
    upper = _Tail(lambda d, x: log_mass(d, x).clamp(max=0.0), quantile)
    return Tails(_complement(upper), upper)


def _by_lower(log_mass: Callable[[Any, Tensor], Tensor], quantile: Any) -> Tails:
    """Return both tails of a family with a simple lower one."""
    lower = _Tail(log_mass, quantile)
    return Tails(lower, _complement(lower))


def _log_cdf_laplace(z: Tensor) -> Tensor:
    left = torch.where(z < 0, z, -z) - LOG_2  # the derivative of abs would be 0 at the median
    return torch.where(z < 0, left, log1mexp(left))


def _inverse_log_cdf_laplace(log_p: Tensor) -> Tensor:
    low = log_p < -LOG_2
    tail = torch.where(low, log_p, log1mexp(log_p)) + LOG_2
    return torch.where(low, tail, -tail)


def _log_cdf_cauchy(z: Tensor) -> Tensor:
    return (torch.atan2(torch.ones_like(z), -z) / math.pi).log()


def _power(d: Any, x: Tensor) -> Tensor:
    """Return ``(x / scale) ** concentration``; a tiny number stands for what is not positive."""
    power: Tensor = (x / d.scale).clamp(min=torch.finfo(x.dtype).tiny) ** d.concentration
    return power


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()


def _log_or_none(p: Tensor) -> Tensor:
    """Return the log of a probability; where that is 0, the gradient is 0 and not nan."""
    return torch.where(p > 0, torch.where(p > 0, p, 1.0).log(), -torch.inf)


@in_double
def _log_gammainc(concentration: Tensor, x: Tensor) -> Tensor:
    return _log_or_none(torch.special.gammainc(concentration, x.clamp(min=0.0)))


@in_double
def _log_gammaincc(concentration: Tensor, x: Tensor) -> Tensor:
    return _log_or_none(torch.special.gammaincc(concentration, x.clamp(min=0.0)))


def _standard(d: Any, x: Tensor) -> Tensor:
    z: Tensor = (x - d.loc) / d.scale
    return z


_NORMAL = _symmetric(log_ndtr, log_ndtri)
_CAUCHY = _symmetric(_log_cdf_cauchy, lambda p: -1 / (math.pi * p.exp()).tan())

_GAMMA = Tails(
    _Tail(lambda d, x: _log_gammainc(d.concentration, d.rate * x), lambda d, p: d.icdf(p.exp())),
    _Tail(
        lambda d, x: _log_gammaincc(d.concentration, d.rate * x), lambda d, p: d.icdf(-p.expm1())
    ),
)

TAILS: dict[type, Tails] = {
    td.Cauchy: _CAUCHY,
    td.Exponential: _by_upper(lambda d, x: -d.rate * x, lambda d, p: -p / d.rate),
    td.Gamma: _GAMMA,
    td.Gumbel: _by_lower(
        lambda d, x: -(-_standard(d, x)).exp(), lambda d, p: d.loc - d.scale * (-p).log()
    ),
    td.HalfCauchy: Tails(
        _Tail(
            lambda d, x: _log_or_none((x / d.scale).atan() * (2 / math.pi)),
            lambda d, p: d.scale * (math.pi / 2 * p.exp()).tan(),
        ),
        _Tail(
            lambda d, x: (LOG_2 + _log_cdf_cauchy(-x / d.scale)).clamp(max=0.0),
            lambda d, p: d.scale / (math.pi * (p - LOG_2).exp()).tan(),
        ),
    ),
    td.HalfNormal: Tails(
        _Tail(
            lambda d, x: _log_or_none((x / (d.scale * math.sqrt(2))).erf()),
            lambda d, p: d.scale * math.sqrt(2) * p.exp().erfinv(),
        ),
        _Tail(
            lambda d, x: (LOG_2 + log_ndtr(-x / d.scale)).clamp(max=0.0),
            lambda d, p: -d.scale * log_ndtri(p - LOG_2),
        ),
    ),
    td.Laplace: _symmetric(_log_cdf_laplace, _inverse_log_cdf_laplace),
    td.LogNormal: Tails(
        _Tail(
            lambda d, x: _NORMAL.lower.log_mass(d, _log(x)),
            lambda d, p: _NORMAL.lower.quantile(d, p).exp(),
        ),
        _Tail(
            lambda d, x: _NORMAL.upper.log_mass(d, _log(x)),
            lambda d, p: _NORMAL.upper.quantile(d, p).exp(),
        ),
    ),
    td.Normal: _NORMAL,
    td.Pareto: _by_upper(
        lambda d, x: -d.alpha * (x / d.scale).clamp(min=1.0).log(),
        lambda d, p: d.scale * (-p / d.alpha).exp(),
    ),
    td.Weibull: _by_upper(
        lambda d, x: -_power(d, x), lambda d, p: d.scale * (-p) ** (1 / d.concentration)
    ),
    Logistic: _symmetric(logsigmoid, lambda p: p - log1mexp(p)),
    SkewLogistic: _by_lower(
        lambda d, x: d.asymmetry * logsigmoid(_standard(d, x)),
        lambda d, p: d.loc + d.scale * (p / d.asymmetry - log1mexp(p / d.asymmetry)),
    ),
}
_BY_CDF = Tails(
    _Tail(lambda d, x: _log_or_none(d.cdf(x)), lambda d, p: d.icdf(p.exp())),
    _Tail(lambda d, x: _log_or_none(1 - d.cdf(x)), lambda d, p: d.icdf(-p.expm1())),
)


def _tails(dist: Any) -> Tails:
    return next((TAILS[cls] for cls in type(dist).__mro__ if cls in TAILS), _BY_CDF)
