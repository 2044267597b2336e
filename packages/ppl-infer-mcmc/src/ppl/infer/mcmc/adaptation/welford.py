"""Running mean and covariance of each chain's positions (Welford 1962)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppl.ops.welford import add, shrink


class Moments(NamedTuple):
    """Running moments; the scatter is the sum of squared deviations from the mean."""

    num_draws: Tensor  # (chain,)
    mean: Tensor  # (chain, dim)
    scatter: Tensor  # (chain, dim), or (chain, dim, dim) when dense


def begin(position: Tensor, dense: bool = False) -> Moments:
    """Return the moments of no draws, for positions of shape ``(chain, dim)``."""
    zero = torch.zeros_like(position)
    return Moments(zero.sum(-1), zero, zero.diag_embed() if dense else zero)


def update(moments: Moments, position: Tensor) -> Moments:
    """Return the moments with one more position of each chain, shape ``(chain, dim)``."""
    count, mean, before, after = add(moments.num_draws, moments.mean, position)
    if moments.scatter.dim() == 3:
        scatter = moments.scatter + before[:, :, None] * after[:, None, :]
    else:
        scatter = moments.scatter + before * after
    return Moments(count, mean, scatter)


def cross_chain_adaptation(moments: Moments) -> Moments:
    """Return, for every chain, the moments of the draws of all chains (Chan et al. 1983)."""
    count = moments.num_draws.sum()
    weight = moments.num_draws[:, None] / count.clamp(min=1)
    mean = (weight * moments.mean).sum(0)
    apart = moments.num_draws[:, None].sqrt() * (moments.mean - mean)
    between = apart[:, :, None] * apart[:, None, :] if moments.scatter.dim() == 3 else apart**2
    scatter = (moments.scatter + between).sum(0)
    return Moments(*map(torch.Tensor.expand_as, (count, mean, scatter), moments))


def covariance(moments: Moments) -> Tensor:
    """Return the variance ``(chain, dim)`` or covariance ``(chain, dim, dim)``; needs two draws."""
    return moments.scatter / _align(moments.num_draws - 1, moments.scatter)


def shrunk_covariance(moments: Moments, prior: Tensor) -> Tensor:
    """Return the covariance shrunk towards a small multiple of an earlier estimate of it.

    With ``n`` draws it is ``n / (n + 5) * covariance + 5 / (n + 5) * 1e-3 * prior``: the prior
    counts for five draws, so that few or stuck draws leave a usable metric (Stan reference manual,
    "HMC algorithm parameters").  Stan's prior is the unit matrix, which hides variances below
    1e-6; that of the previous window has their scale.
    """
    count = _align(moments.num_draws, moments.scatter)
    return shrink(covariance(moments), count, prior)


def _align(count: Tensor, like: Tensor) -> Tensor:
    return count.reshape(count.shape + (1,) * (like.dim() - 1))
