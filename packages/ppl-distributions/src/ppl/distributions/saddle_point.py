"""Log densities with gamma functions, as saddle points: exact for large parameters as well.

Each is a deviance, which is 0 at the best parameters, and a rest that varies slowly (Loader 2000,
"Fast and accurate computation of binomial probabilities"). Written with ``lgamma`` they would be
differences of numbers that grow like ``n log(n)``. All are evaluated in double precision, and
broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.ops.deviance import deviance, deviance_of_count
from ppl.ops.double import in_double
from ppl.ops.powers import multiply_log
from ppl.ops.small import plain_if_small
from ppl.ops.special import log1p_square
from ppl.ops.stirling import log_factorial_rest, log_gamma_ratio, minus_log_gamma_rest

from . import textbook

FAR = 700.0  # log odds beyond which a probability would underflow
LARGEST = 1e300  # of a mean, which makes every density 0


@plain_if_small(textbook.poisson)
@in_double
def poisson(count: Tensor, rate: Tensor) -> Tensor:
    """Return the log probability of a count, given its mean."""
    return -deviance_of_count(count, rate) - log_factorial_rest(count)


@plain_if_small(textbook.binomial)
@in_double
def binomial(count: Tensor, total: Tensor, probs: Tensor) -> Tensor:
    """Return the log probability of so many successes among ``total`` trials; more have none."""
    failures = (total - count).clamp(min=0.0)
    density = _binomial(count, failures, probs, 1 - probs)
    return torch.where(count <= total, density, -torch.inf)


@plain_if_small(textbook.binomial_of_logits)
@in_double
def binomial_of_logits(count: Tensor, total: Tensor, logits: Tensor) -> Tensor:
    """Return the same in terms of the log odds of a success."""
    failures = (total - count).clamp(min=0.0)
    return torch.where(count <= total, _binomial_of_logits(count, failures, logits), -torch.inf)


@plain_if_small(textbook.negative_binomial)
@in_double
def negative_binomial(count: Tensor, total: Tensor, probs: Tensor) -> Tensor:
    """Return the log probability of so many successes before ``total`` failures."""
    return _negative_binomial(count, total, probs, 1 - probs)


@plain_if_small(textbook.negative_binomial_of_logits)
@in_double
def negative_binomial_of_logits(count: Tensor, total: Tensor, logits: Tensor) -> Tensor:
    """Return the same in terms of the log odds of a success."""
    return _binomial_of_logits(count, total, logits) + _log_share(count, total)


@plain_if_small(textbook.gamma_poisson)
@in_double
def gamma_poisson(count: Tensor, concentration: Tensor, rate: Tensor) -> Tensor:
    """Return the log probability of a Poisson count whose mean is a gamma variable."""
    return _negative_binomial(count, concentration, 1 / (1 + rate), rate / (1 + rate))


@plain_if_small(textbook.beta_binomial)
@in_double
def beta_binomial(count: Tensor, heads: Tensor, tails: Tensor, total: Tensor) -> Tensor:
    """Return the log probability of a binomial count whose probability is a beta variable.

    Successes and failures are independent negative binomials, given their sum, of whatever
    probability: here the one which makes the sum most likely.
    """
    size = heads + tails
    probs = (total / (total + size)).detach()  # the result does not depend on it
    parts = _negative_binomial(count, heads, probs, 1 - probs) + _negative_binomial(
        total - count, tails, probs, 1 - probs
    )
    return parts - _negative_binomial(total, size, probs, 1 - probs)


@plain_if_small(textbook.dirichlet_multinomial)
@in_double
def dirichlet_multinomial(
    counts: Tensor, concentration: Tensor, total: Tensor, is_sparse: bool = False
) -> Tensor:
    """Return the log probability of counts ``(*batch, k)`` whose probabilities are Dirichlet.

    It is that of independent negative binomials given their sum; see :func:`beta_binomial`.
    """
    size = concentration.sum(-1)
    probs: Tensor = (total / (total + size)).detach()
    given = _negative_binomial(total, size, probs, 1 - probs)
    counts, concentration, probs = torch.broadcast_tensors(
        counts, concentration, probs.unsqueeze(-1)
    )
    if not is_sparse:
        return _negative_binomial(counts, concentration, probs, 1 - probs).sum(-1) - given
    index, terms = counts.nonzero(as_tuple=True), concentration * (-probs).log1p()
    count, failures, p = counts[index], concentration[index], probs[index]
    return terms.index_put(index, _negative_binomial(count, failures, p, 1 - p)).sum(-1) - given


@plain_if_small(textbook.multinomial)
@in_double
def multinomial(counts: Tensor, probs: Tensor) -> Tensor:
    """Return the log probability of counts ``(*batch, k)``, given those of their categories."""
    total = counts.sum(-1)
    terms = deviance_of_count(counts, total.unsqueeze(-1) * probs) + log_factorial_rest(counts)
    return log_factorial_rest(total) - terms.sum(-1)


@plain_if_small(textbook.multinomial_of_logits)
@in_double
def multinomial_of_logits(counts: Tensor, logits: Tensor) -> Tensor:
    """Return the same in terms of normalized log probabilities."""
    near = logits.clamp(min=-FAR)
    beyond = counts * torch.where(counts > 0, logits - near, 0.0)
    return multinomial(counts, near.exp()) + beyond.sum(-1)


@plain_if_small(textbook.gamma)
@in_double
def gamma(value: Tensor, concentration: Tensor, rate: Tensor) -> Tensor:
    """Return the log density of a gamma variable."""
    return _gamma(value, concentration, rate)


@plain_if_small(textbook.inverse_gamma)
@in_double
def inverse_gamma(value: Tensor, concentration: Tensor, rate: Tensor) -> Tensor:
    """Return the log density of the reciprocal of a gamma variable, which is 0 at 0."""
    positive = value > 0
    value = torch.where(positive, value, 1.0)
    mean = (rate / value).clamp(max=LARGEST)
    density = minus_log_gamma_rest(concentration) - value.log() - deviance(concentration, mean)
    return torch.where(positive, density, -torch.inf)


@plain_if_small(textbook.dirichlet, widen=False)
@in_double
def dirichlet(value: Tensor, concentration: Tensor) -> Tensor:
    """Return the log density of a point ``(*batch, k)`` of the simplex.

    Its coordinates are independent gamma variables of any rate, given their sum: here the rate
    which makes a sum of 1 most likely.
    """
    size = concentration.sum(-1)
    return _gamma(value, concentration, size.unsqueeze(-1)).sum(-1) - minus_log_gamma_rest(size)


@plain_if_small(textbook.beta)
@in_double
def beta(value: Tensor, heads: Tensor, tails: Tensor) -> Tensor:
    """Return the log density of a beta variable; see :func:`dirichlet`."""
    size = heads + tails
    return _gamma(value, heads, size) + _gamma(1 - value, tails, size) - minus_log_gamma_rest(size)


@plain_if_small(textbook.fisher_snedecor)
@in_double
def fisher_snedecor(value: Tensor, df1: Tensor, df2: Tensor) -> Tensor:
    """Return the log density of the ratio of two mean squares.

    Given their sum, they are independent gamma variables; see :func:`dirichlet`.
    """
    upper, lower = df1 / 2, df2 / 2
    size, odds = upper + lower, df1 / df2
    share = 1 / (1 + odds * value)  # of the lower one
    density = (
        _gamma(value, upper, size * odds * share)
        - minus_log_gamma_rest(size)
        + minus_log_gamma_rest(lower)
    )
    return density - deviance(lower, size * share)


@plain_if_small(textbook.correlation_volume)
@in_double
def correlation_volume(concentration: Tensor, dim: int = 2) -> Tensor:
    """Return the log of the integral of ``det ** (concentration - 1)`` over correlation matrices.

    See Lewandowski, Kurowicka and Joe (2009), section 3.2: the onion grows by a ball a row.
    """
    half_row = torch.arange(1, dim, dtype=concentration.dtype, device=concentration.device) / 2
    rest = concentration.unsqueeze(-1) + ((dim - 1) / 2 - half_row)
    ratio = log_gamma_ratio(rest, half_row) + half_row * (rest.log() - math.log(math.pi))
    return -ratio.sum(-1)


@plain_if_small(textbook.wishart)
@in_double
def wishart(value: Tensor, df: Tensor, scale_tril: Tensor) -> Tensor:
    """Return the log density of a covariance matrix ``(*batch, n, n)``."""
    return textbook.wishart(value, df, scale_tril)[0]


@plain_if_small(textbook.student_t)
@in_double
def student_t(value: Tensor, df: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Return the log density of Student's t."""
    z = (value - loc) / (scale * df.sqrt())
    return _log_peak(df, 1) - scale.log() - (df + 1) / 2 * log1p_square(z)


@plain_if_small(textbook.multivariate_student_t)
@in_double
def multivariate_student_t(whitened: Tensor, df: Tensor) -> Tensor:
    """Return the log density of Student's t at a vector ``(*batch, n)``, for an identity scale."""
    dim = whitened.shape[-1]
    length = log1p_square(whitened / df.sqrt().unsqueeze(-1), dim=-1)
    return _log_peak(df, dim) - (df + dim) / 2 * length


def _log_peak(df: Tensor, dim: int) -> Tensor:
    """Return the log density of Student's t at its centre."""
    shift = torch.full_like(df, dim / 2)
    return log_gamma_ratio(df / 2, shift) - dim / 2 * math.log(2 * math.pi)


def _binomial(successes: Tensor, failures: Tensor, probs: Tensor, others: Tensor) -> Tensor:
    total = successes + failures
    fit = deviance_of_count(successes, total * probs) + deviance_of_count(failures, total * others)
    rest = log_factorial_rest(successes) + log_factorial_rest(failures)
    return log_factorial_rest(total) - rest - fit


def _negative_binomial(
    successes: Tensor, failures: Tensor, probs: Tensor, others: Tensor
) -> Tensor:
    """Return a binomial log probability times the share of the failures: the last one is."""
    return _binomial(successes, failures, probs, others) + _log_share(successes, failures)


def _log_share(successes: Tensor, failures: Tensor) -> Tensor:
    share = torch.where(successes > 0, failures / (successes + failures), 1.0)
    return share.log()


def _binomial_of_logits(successes: Tensor, failures: Tensor, logits: Tensor) -> Tensor:
    """Return a binomial log probability as a function of the log odds.

    Its fall from the best log odds is ``n * (log1p(p * expm1(d)) - p * d)`` at a distance ``d``, if
    ``p`` is the share of the successes. This is written for the rarer outcome, where no digits
    cancel; far away it is linear, and so it is where an outcome is missing.
    """
    total, is_rare = successes + failures, successes <= failures
    few, many = torch.minimum(successes, failures), torch.maximum(successes, failures)
    best = (few.clamp(min=1 / LARGEST) / many.clamp(min=1 / LARGEST)).log()
    distance = torch.where(is_rare, logits, -logits) - torch.where(few > 0, best, 0.0)
    near, beyond = distance.clamp(max=FAR), (distance - FAR).relu()
    share = few / total.clamp(min=1 / LARGEST)
    growth = torch.where(few > 0, share * near.expm1(), near.exp()).log1p()
    fall = total * growth - multiply_log(few, near) + multiply_log(many, beyond)
    rest = log_factorial_rest(successes) + log_factorial_rest(failures)
    return log_factorial_rest(total) - rest - fall


def _gamma(value: Tensor, concentration: Tensor, rate: Tensor) -> Tensor:
    """Return the log density of a gamma variable.

    At 0 that is 0 or infinite, unless the concentration is 1: then it is the rate, as at any mean
    of ``rate * value`` without the part that is linear in it.
    """
    mean, positive = rate * value, value > 0
    near = torch.where(positive, mean, 1.0).clamp(max=LARGEST)
    at_zero = torch.xlogy(concentration - 1, positive.to(value.dtype))
    linear = torch.where(positive, 0.0, 1 - mean)
    density = (
        rate.log()
        - near.log()
        + minus_log_gamma_rest(concentration)
        - deviance(concentration, near)
    )
    return density + (at_zero + linear)
