"""Kullback-Leibler divergences of our distributions, beside those torch knows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence as kl_divergence
from torch.distributions import register_kl as register_kl

from ppl.distribution import Delta, ExpandedDistribution, Independent, MaskedDistribution
from ppl.distribution.util import scale_and_mask

from .multivariate_normal import MultivariateNormal


@register_kl(Delta, ExpandedDistribution)  # type: ignore[untyped-decorator]
@register_kl(Delta, torch.distributions.Distribution)  # type: ignore[untyped-decorator]
def _kl_delta(p: Delta, q: Any) -> Tensor:
    """All mass of ``p`` is at its point, where both densities are known."""
    log_prob: Tensor = q.log_prob(p.v)
    return p.log_density - log_prob


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


@register_kl(Independent, MultivariateNormal)  # type: ignore[untyped-decorator]
def _kl_independent_mvn(p: Independent, q: MultivariateNormal) -> Tensor:
    """Trace, quadratic and determinant terms with a diagonal covariance on the left."""
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
