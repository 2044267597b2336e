"""Kullback-Leibler divergences of our distributions, beside those torch knows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence as kl_divergence
from torch.distributions import register_kl as register_kl

from ppl.distribution import Delta, ExpandedDistribution, Independent, MaskedDistribution
from ppl.distribution.util import scale_and_mask, sum_rightmost
from ppl.ops.double import in_double
from ppl.ops.powers import log_power, multiply_log

from .categorical import Categorical, OneHotCategorical
from .closed_forms import divergence_in_double
from .continuous_bernoulli import ContinuousBernoulli
from .counts import Bernoulli, Binomial, Geometric, Poisson
from .multivariate_normal import MultivariateNormal
from .positive import Chi2, Exponential, Gamma
from .simplex import Dirichlet
from .trials import is_given, log_trials, trial_entropy
from .unit_interval import Beta


@register_kl(Delta, ExpandedDistribution)  # type: ignore[untyped-decorator]
@register_kl(Delta, torch.distributions.Distribution)  # type: ignore[untyped-decorator]
def _kl_delta(p: Delta, q: Any) -> Tensor:
    """All mass of ``p`` is at its point, where both densities are known."""
    log_prob: Tensor = q.log_prob(p.v)
    return p.log_density - log_prob


@register_kl(Independent, torch.distributions.Distribution)  # type: ignore[untyped-decorator]
def _kl_independent(p: Independent, q: Any) -> Tensor:
    """A point may be written as an event, or as independent points."""
    if not isinstance(p.base_dist, Delta) or p.event_dim != len(q.event_shape):
        raise NotImplementedError(f"no closed form of the divergence of {p} from {q}")
    log_prob: Tensor = q.log_prob(p.base_dist.v)
    return sum_rightmost(p.base_dist.log_density, p.reinterpreted_batch_ndims) - log_prob


@register_kl(Independent, Independent)  # type: ignore[untyped-decorator]
def _kl_independent_independent(p: Independent, q: Independent) -> Tensor:
    """Sum over the dimensions that both made events; a base may have more of its own."""
    shared = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    if p.event_dim != q.event_dim or shared == 0:
        raise NotImplementedError(f"no closed form of the divergence of {p} from {q}")
    left, right = (d.base_dist.to_event(d.reinterpreted_batch_ndims - shared) for d in (p, q))
    return sum_rightmost(kl_divergence(left, right), shared)


@register_kl(ExpandedDistribution, ExpandedDistribution)  # type: ignore[untyped-decorator]
@register_kl(ExpandedDistribution, torch.distributions.Distribution)  # type: ignore
@register_kl(torch.distributions.Distribution, ExpandedDistribution)  # type: ignore
def _kl_expanded(p: Any, q: Any) -> Tensor:
    """Copies diverge alike, so that the original is enough."""
    left: Any = p.base_dist if isinstance(p, ExpandedDistribution) else p
    right: Any = q.base_dist if isinstance(q, ExpandedDistribution) else q
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    return kl_divergence(left, right).expand(shape)


@register_kl(MaskedDistribution, MaskedDistribution)  # type: ignore[untyped-decorator]
def _kl_masked_masked(p: MaskedDistribution, q: MaskedDistribution) -> Tensor:
    """Entries count where both masks hold."""
    mask = p._mask if q._mask is True else q._mask if p._mask is True else None
    if mask is None:
        mask = False if p._mask is False or q._mask is False else p._mask & q._mask
    if mask is False:
        shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
        return p.mean.new_zeros(shape)
    left: Any = p.base_dist
    right: Any = q.base_dist
    return scale_and_mask(kl_divergence(left, right), mask=mask)


@register_kl(Bernoulli, Bernoulli)  # type: ignore[untyped-decorator]
def _kl_bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    """Cross entropy minus entropy of one trial; torch's slopes are nan at probabilities 0 and 1."""
    return -log_trials(q, p.probs, p._failure_probs) - trial_entropy(p)


@register_kl(Binomial, Binomial)  # type: ignore[untyped-decorator]
def _kl_binomial(p: Binomial, q: Binomial) -> Tensor:
    """As many trials; infinite where ``p`` has more than ``q``."""
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("no closed form of the divergence from more trials than its own")
    one = -log_trials(q, p.probs, p._failure_probs) - trial_entropy(p)
    return torch.where(p.total_count > q.total_count, torch.inf, p.total_count * one)


@register_kl(Geometric, Geometric)  # type: ignore[untyped-decorator]
def _kl_geometric(p: Geometric, q: Geometric) -> Tensor:
    """One success after the mean number of failures."""
    return -log_trials(q, torch.ones_like(p.probs), p.mean) - p.entropy()


@register_kl(Poisson, Poisson)  # type: ignore[untyped-decorator]
def _kl_poisson(p: Poisson, q: Poisson) -> Tensor:
    """Means of 0 included."""
    return _divergence_of_means(p.rate, q.rate)


@in_double
def _divergence_of_means(p: Tensor, q: Tensor) -> Tensor:
    return log_power(p, p) - log_power(p, q) - p + q


for _ours, _family in {
    Beta: torch.distributions.Beta,
    Chi2: torch.distributions.Gamma,
    Dirichlet: torch.distributions.Dirichlet,
    Exponential: torch.distributions.Exponential,
    Gamma: torch.distributions.Gamma,
}.items():
    register_kl(_ours, _ours)(divergence_in_double(_family))


@register_kl(Categorical, Categorical)  # type: ignore[untyped-decorator]
def _kl_categorical(p: Categorical, q: Categorical) -> Tensor:
    """Cross entropy minus entropy; impossible categories included."""
    power = log_power if is_given(q, "probs") else multiply_log
    return -power(p.probs, q._param).sum(-1) - p.entropy()


@register_kl(OneHotCategorical, OneHotCategorical)  # type: ignore[untyped-decorator]
def _kl_one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)  # type: ignore[untyped-decorator]
def _kl_continuous_bernoulli(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    """The log density is linear in the value."""
    return -q.log_prob(p.mean) - p.entropy()


@register_kl(Independent, MultivariateNormal)  # type: ignore[untyped-decorator]
def _kl_independent_mvn(p: Independent, q: MultivariateNormal) -> Tensor:
    """Trace, quadratic and determinant terms with a diagonal covariance on the left."""
    if isinstance(p.base_dist, Delta):
        from_point: Tensor = _kl_independent(p, q)
        return from_point
    loc, variance = _diagonal_normal(p)
    factor = q._unbroadcasted_scale_tril
    whitened = _solve(factor, variance.sqrt().diag_embed())
    shift = _solve(factor, (q.loc - loc).unsqueeze(-1))
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - variance.log().sum(-1)
    trace, quadratic = whitened.square().sum((-2, -1)), shift.square().sum((-2, -1))
    return 0.5 * (trace + quadratic + log_det - loc.shape[-1])


@register_kl(MultivariateNormal, Independent)  # type: ignore[untyped-decorator]
def _kl_mvn_independent(p: MultivariateNormal, q: Independent) -> Tensor:
    """The cross entropy needs only the marginal moments of ``p``."""
    loc, variance = _diagonal_normal(q)
    expected_square = p.variance + (p.loc - loc).square()
    cross = 0.5 * (expected_square / variance + variance.log() + math.log(2 * math.pi)).sum(-1)
    entropy: Tensor = p.entropy()
    return cross - entropy


def _diagonal_normal(dist: Independent) -> tuple[Tensor, Tensor]:
    """Return mean and variance of an independent normal over vectors."""
    if not isinstance(dist.base_dist, torch.distributions.Normal) or dist.event_dim != 1:
        raise NotImplementedError(f"no closed form with a multivariate normal for {dist}")
    return dist.base_dist.loc, dist.base_dist.variance


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(factor.shape[:-2], right.shape[:-2])
    factor, right = (t.expand(batch + t.shape[-2:]) for t in (factor, right))
    solution: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return solution
