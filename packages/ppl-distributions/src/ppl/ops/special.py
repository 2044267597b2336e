"""Special functions, in log space where they are large."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor

from .double import in_double
from .stirling import log_factorial_rest

_CHEAPEST_TOL = 0.02  # of Stirling's formula: the shift that smaller ones need costs more


def safe_log(x: Tensor) -> Tensor:
    """Return ``log(x)``, with a finite gradient at zero.

    Below the machine epsilon ``eps`` the gradient is ``1 / eps``.

    Example:
        >>> x = torch.zeros((), requires_grad=True)
        >>> safe_log(x).backward()
        >>> bool(x.grad.isfinite())
        True
    """
    eps = torch.finfo(x.dtype).eps
    below = x.detach().log() + (x - x.detach()) / eps
    return torch.where(x > eps, x.clamp(min=eps).log(), below)


def log1p_square(x: Tensor, dim: int | None = None) -> Tensor:
    """Return ``log(1 + x**2)``, also where the square overflows or is lost beside 1.

    Args:
        x: Any real numbers.
        dim: If given, the squares are summed over this dimension.

    Example:
        >>> log1p_square(torch.tensor([1e-3, 1e25]))
        tensor([1.0000e-06, 1.1513e+02])
    """
    size = x.detach().abs()
    scale = (size if dim is None else size.amax(dim, keepdim=True)).clamp(min=1.0)
    square = (x / scale).square()
    if dim is not None:
        square, scale = square.sum(dim), scale.squeeze(dim)
    return (square + (scale**-2 - 1)).log1p() + 2 * scale.log()


def log_beta(x: Tensor, y: Tensor, tol: float = 0.0) -> Tensor:
    """Return the logarithm of the beta function of positive numbers.

    Args:
        x: Positive, broadcasts with ``y``.
        y: Positive.
        tol: The largest absolute error. From 0.02 on Stirling's formula is used, which then costs
            less than three log-gamma functions; these are used below.
    """
    if tol < _CHEAPEST_TOL:
        return _log_beta(x, y)
    # the formula errs by at most 1 / (12 z) (Robbins 1955), and two of three errors may add up
    shift = math.ceil(1 / (6 * tol))
    result = _stirling(x + shift) + _stirling(y + shift) - _stirling(x + y + shift)
    for i in range(shift):  # undo the shift by the recurrence of the gamma function
        result = result - ((x + i) * ((y + i) / (x + y + i))).log()
    return result


def log_binomial(n: Tensor, k: Tensor, tol: float = 0.0) -> Tensor:
    """Return the logarithm of the binomial coefficient "n choose k".

    Args:
        n: Non-negative, broadcasts with ``k``.
        k: Between 0 and ``n``.
        tol: The largest absolute error, see :func:`log_beta`.
    """
    return -torch.log1p(n) - log_beta(k + 1, n - k + 1, tol)


def log_I1(orders: int, value: Tensor, terms: int = 250) -> Tensor:
    """Return the logarithms of the modified Bessel functions of the first kind.

    The power series (DLMF, eq. 10.25.2) is used below the argument ``terms``, the uniform expansion
    for large order or argument (DLMF, eqs. 10.41.3 and 10.41.10) above.

    Args:
        orders: The largest order.
        value: Positive arguments; a scalar counts as a vector of one.
        terms: The number of terms of the series. The relative error is below 1e-12 with the default
            number, and near 1e-5 with 20 terms.

    Returns:
        Shape ``(orders + 1, *value.shape)``, ``(orders + 1, 1)`` for a scalar: the orders from
        zero.

    Example:
        >>> log_I1(1, torch.tensor([1.0])).exp()
        tensor([[1.2661],
                [0.5652]])
    """
    value = torch.atleast_1d(value)
    order = torch.arange(orders + 1, dtype=value.dtype, device=value.device)
    order = order.reshape(-1, *[1] * value.dim())
    small, large = value.clamp(max=terms), value.clamp(min=terms)
    return torch.where(
        value < terms, _log_bessel_series(order, small, terms), _log_bessel_uniform(order, large)
    )


def get_quad_rule(num_quad: int, prototype_tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and log weights of Gauss-Hermite quadrature for the standard normal.

    Args:
        num_quad: The number of nodes; polynomials of a degree below twice of it are integrated
            exactly.
        prototype_tensor: Gives dtype and device.

    Example:
        >>> nodes, log_weights = get_quad_rule(3, torch.zeros(()))
        >>> round(float((nodes**4 * log_weights.exp()).sum()), 4)  # the fourth moment
        3.0
    """
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(num_quad)
    log_weights = numpy.log(weights) - math.log(2 * math.pi) / 2
    return prototype_tensor.new_tensor(nodes), prototype_tensor.new_tensor(log_weights)


def sparse_multinomial_likelihood(
    total_count: Tensor, nonzero_logits: Tensor, nonzero_value: Tensor
) -> Tensor:
    """Return the summed log density (nats) of multinomial counts, most of which are zero.

    Args:
        total_count: The counts of each observation, together.
        nonzero_logits: Normalized log probabilities of those outcomes that occurred.
        nonzero_value: How often they occurred, the same shape.
    """
    counts = torch.lgamma(total_count + 1).sum() - torch.lgamma(nonzero_value + 1).sum()
    return counts + (nonzero_value * nonzero_logits).sum()


@in_double
def _log_beta(x: Tensor, y: Tensor) -> Tensor:
    rest = log_factorial_rest(x) + log_factorial_rest(y) - log_factorial_rest(x + y)
    leading = x * (y / x).log1p() + y * (x / y).log1p()
    return rest - leading + (x / y).log1p() - x.log()


def _stirling(z: Tensor) -> Tensor:
    return (z - 0.5) * z.log() - z + math.log(2 * math.pi) / 2


def _log_bessel_series(order: Tensor, value: Tensor, terms: int) -> Tensor:
    k = torch.arange(terms, dtype=value.dtype, device=value.device)
    n = order.unsqueeze(-1)
    log_half = (value / 2).log().unsqueeze(-1)
    log_terms = (2 * k + n) * log_half - torch.lgamma(k + 1) - torch.lgamma(k + n + 1)
    return log_terms.logsumexp(-1)


def _log_bessel_uniform(order: Tensor, value: Tensor) -> Tensor:
    radius = torch.hypot(order, value)
    p = (order / radius) ** 2
    first = (3 - 5 * p) / 24
    second = (81 + p * (-462 + p * 385)) / 1152
    third = (30375 + p * (-369603 + p * (765765 - p * 425425))) / 414720
    correction = (first + (second + third / radius) / radius) / radius
    leading = radius + order * (value / (order + radius)).log()
    return leading - (2 * math.pi * radius).log() / 2 + correction.log1p()
