"""Log densities as textbooks have them: for ordinary arguments.

Each returns the density and its size: the largest argument of a log-gamma function in it, whose
rounding error limits what the formula is good for. Edges, where a product is ``0 * inf``, are not
treated: :func:`ppl.ops.small.plain_if_small` leaves them to exact functions, most of which are in
:mod:`.saddle_point`, with the same names and arguments.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

Result = tuple[Tensor, Tensor | None]
# an operation between a tensor and a number would cost as much as two between tensors
_ONE, _HALF, _PI = (
    {dtype: torch.tensor(number, dtype=dtype) for dtype in (torch.float32, torch.float64)}
    for number in (1.0, 0.5, math.pi)
)


def poisson(count: Tensor, rate: Tensor) -> Result:
    """Return :func:`.saddle_point.poisson` and a size."""
    return count * rate.log() - rate - _log_factorial(count), count


def binomial(count: Tensor, total: Tensor, probs: Tensor) -> Result:
    """Return :func:`.saddle_point.binomial` and a size."""
    failures = total - count
    chances = count * probs.log() + failures * (-probs).log1p()
    return chances + _log_choices(total, count, failures), total


def binomial_of_logits(count: Tensor, total: Tensor, logits: Tensor) -> Result:
    """Return :func:`.saddle_point.binomial_of_logits` and a size."""
    failures = total - count
    chances = count * logsigmoid(logits) + failures * logsigmoid(-logits)
    return chances + _log_choices(total, count, failures), total


def negative_binomial(count: Tensor, total: Tensor, probs: Tensor) -> Result:
    """Return :func:`.saddle_point.negative_binomial` and a size."""
    size = count + total
    chances = count * probs.log() + total * (-probs).log1p()
    return chances + _log_orders(count, total, size), size


def negative_binomial_of_logits(count: Tensor, total: Tensor, logits: Tensor) -> Result:
    """Return :func:`.saddle_point.negative_binomial_of_logits` and a size."""
    size = count + total
    chances = count * logsigmoid(logits) + total * logsigmoid(-logits)
    return chances + _log_orders(count, total, size), size


def gamma_poisson(count: Tensor, concentration: Tensor, rate: Tensor) -> Result:
    """Return :func:`.saddle_point.gamma_poisson` and a size."""
    size = count + concentration
    chances = count * rate.log1p() + concentration * rate.reciprocal().log1p()
    return _log_orders(count, concentration, size) - chances, size


def beta_binomial(count: Tensor, heads: Tensor, tails: Tensor, total: Tensor) -> Result:
    """Return :func:`.saddle_point.beta_binomial` and a size."""
    failures, size = total - count, heads + tails
    prior, posterior = _log_beta(heads, tails), _log_beta(heads + count, tails + failures)
    return _log_choices(total, count, failures) + posterior - prior, size + total


def dirichlet_multinomial(
    counts: Tensor, concentration: Tensor, total: Tensor, is_sparse: bool = False
) -> Result:
    """Return :func:`.saddle_point.dirichlet_multinomial` and a size."""
    size = concentration.sum(-1)
    orders = _log_orders(counts, concentration, counts + concentration).sum(-1)
    return orders - _log_orders(total, size, total + size), total + size


def multinomial(counts: Tensor, probs: Tensor) -> Result:
    """Return :func:`.saddle_point.multinomial` and a size."""
    return _multinomial(counts, probs, probs.log())


def multinomial_of_logits(counts: Tensor, logits: Tensor) -> Result:
    """Return :func:`.saddle_point.multinomial_of_logits` and a size."""
    return _multinomial(counts, logits.exp(), logits)


def gamma(value: Tensor, concentration: Tensor, rate: Tensor) -> Result:
    """Return :func:`.saddle_point.gamma` and a size."""
    mean = rate * value
    density = concentration * mean.log() - value.log() - mean - concentration.lgamma()
    return density, concentration


def inverse_gamma(value: Tensor, concentration: Tensor, rate: Tensor) -> Result:
    """Return :func:`.saddle_point.inverse_gamma` and a size."""
    mean = rate / value
    density = concentration * mean.log() - value.log() - mean - concentration.lgamma()
    return density, concentration


def dirichlet(value: Tensor, concentration: Tensor) -> Result:
    """Return :func:`.saddle_point.dirichlet` and a size."""
    size = concentration.sum(-1)
    log = value.log()
    powers = concentration * log - log - concentration.lgamma()
    return powers.sum(-1) + size.lgamma(), size


def beta(value: Tensor, heads: Tensor, tails: Tensor) -> Result:
    """Return :func:`.saddle_point.beta` and a size."""
    size, log, log_rest = heads + tails, value.log(), (-value).log1p()
    powers = heads * log + tails * log_rest - log - log_rest
    return powers + size.lgamma() - heads.lgamma() - tails.lgamma(), size


def fisher_snedecor(value: Tensor, df1: Tensor, df2: Tensor) -> Result:
    """Return :func:`.saddle_point.fisher_snedecor` and a size."""
    upper, lower = df1 * _HALF[df1.dtype], df2 * _HALF[df2.dtype]
    size, odds = upper + lower, df1 / df2 * value
    powers = upper * odds.reciprocal().log1p() + lower * odds.log1p() + value.log()
    return size.lgamma() - upper.lgamma() - lower.lgamma() - powers, size


def correlation_volume(concentration: Tensor, dim: int = 2) -> Result:
    """Return :func:`.saddle_point.correlation_volume` and a size."""
    size = concentration + (dim - 1) / 2
    shift = torch.linspace(0.0, (dim - 2) / 2, dim - 1, dtype=concentration.dtype)
    rest = (concentration.unsqueeze(-1) + shift).lgamma().sum(-1)
    return rest + dim * (dim - 1) / 4 * math.log(math.pi) - (dim - 1) * size.lgamma(), size


def wishart(value: Tensor, df: Tensor, scale_tril: Tensor) -> Result:
    """Return :func:`.saddle_point.wishart` and a size."""
    dim = value.shape[-1]
    log_det: Tensor = torch.linalg.slogdet(value).logabsdet
    trace = torch.cholesky_solve(value, scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
    log_scale = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    half = df * _HALF[df.dtype]
    ratio = torch.sub(log_det, log_scale, alpha=2) - dim * math.log(2)
    fixed = torch.add(trace, log_det, alpha=dim + 1) * _HALF[df.dtype]
    return half * ratio - fixed - torch.mvlgamma(half, dim), df


def student_t(value: Tensor, df: Tensor, loc: Tensor, scale: Tensor) -> Result:
    """Return :func:`.saddle_point.student_t` and a size."""
    z, one_half = (value - loc) / scale, _HALF[df.dtype]
    half = df * one_half
    more = half + one_half
    peak = more.lgamma() - half.lgamma() - (df * math.pi).log() / 2
    return peak - scale.log() - more * (z * z / df).log1p(), more


def multivariate_student_t(whitened: Tensor, df: Tensor) -> Result:
    """Return :func:`.saddle_point.multivariate_student_t` and a size."""
    dim = whitened.shape[-1]
    more = (df + dim) / 2
    peak = more.lgamma() - (df / 2).lgamma() - dim / 2 * (df * math.pi).log()
    return peak - more * (whitened.square().sum(-1) / df).log1p(), more


def bernoulli(value: Tensor, probs: Tensor) -> Result:
    """Return the log probability of one trial, and no size."""
    return torch.lerp((-probs).log1p(), probs.log(), value), None


def bernoulli_of_logits(value: Tensor, logits: Tensor) -> Result:
    """Return the log probability of one trial, and no size."""
    if logits.shape != value.shape:
        logits, value = torch.broadcast_tensors(logits, value)
    return -binary_cross_entropy_with_logits(logits, value, reduction="none"), None


def relaxed_bernoulli(value: Tensor, temperature: Tensor, logits: Tensor) -> Result:
    """Return the log density of a relaxed trial, and no size."""
    log, log_rest = value.log(), (-value).log1p()
    mixed = torch.logaddexp(logits + temperature * log_rest, temperature * log)
    both = log + log_rest
    outer = temperature.log() + logits + temperature * both - both
    return torch.sub(outer, mixed, alpha=2), None


def cauchy(value: Tensor, loc: Tensor, scale: Tensor) -> Result:
    """Return the log density of a Cauchy variable, and no size."""
    z = (value - loc) / scale
    return -(z * z).log1p() - (scale * _PI[scale.dtype]).log(), None


def _log_factorial(count: Tensor) -> Tensor:
    return (count + _ONE[count.dtype]).lgamma()


def _log_choices(total: Tensor, count: Tensor, failures: Tensor) -> Tensor:
    return _log_factorial(total) - _log_factorial(count) - _log_factorial(failures)


def _multinomial(counts: Tensor, probs: Tensor, logits: Tensor) -> Result:
    total = counts.sum(-1)
    terms = counts * logits - _log_factorial(counts)
    unassigned = total - total * probs.sum(-1)  # by the rounding errors of probabilities
    return terms.sum(-1) + unassigned + _log_factorial(total), total


def _log_orders(count: Tensor, total: Tensor, size: Tensor) -> Tensor:
    return size.lgamma() - total.lgamma() - _log_factorial(count)


def _log_beta(heads: Tensor, tails: Tensor) -> Tensor:
    return heads.lgamma() + tails.lgamma() - (heads + tails).lgamma()
