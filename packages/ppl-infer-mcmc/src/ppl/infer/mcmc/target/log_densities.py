"""Log densities on the unconstrained scale, where the value itself would be rounded.

``Gamma(0.01, 1)`` has most of its mass below 1e-40, and ``Beta(0.1, 0.1)`` a good part of it where
``1 - x`` has no digits.  These forms take logarithms, see :mod:`ppl.infer.mcmc.target.log_scale`;
their slopes are those of the density as far as double precision reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import Transform
from torch.distributions.transforms import ExpTransform, IndependentTransform, SigmoidTransform
from torch.nn.functional import logsigmoid, softplus

import ppl.distributions as dist
from ppl.distribution import ExpandedDistribution, Independent, MaskedDistribution
from ppl.distribution.util import sum_rightmost
from ppl.distributions import saddle_point
from ppl.infer.mcmc.target.log_scale import LogValue, log_value
from ppl.ops.stirling import minus_log_gamma_rest

Form = Callable[[Any, LogValue], Tensor | None]


def log_density(fn: Any, transform: Transform, u: Tensor, is_given: bool = False) -> Tensor | None:
    """Return the log density of a distribution at ``transform(u)``, of which no digits are lost.

    Args:
        fn: The distribution.
        transform: From the unconstrained scale to its support.
        u: Unconstrained values.
        is_given: Whether somebody chose the transform; else it is the bijection of the support.

    Returns:
        Shape ``batch_shape``; None where ``fn.log_prob(transform(u))`` is as good.
    """
    if isinstance(fn, Independent):
        inner = log_density(fn.base_dist, transform, u, is_given)
        return None if inner is None else sum_rightmost(inner, fn.reinterpreted_batch_ndims)
    if isinstance(fn, ExpandedDistribution):
        inner = log_density(fn.base_dist, transform, u, is_given)
        return None if inner is None else inner.expand(fn.batch_shape)
    if isinstance(fn, MaskedDistribution):
        return _masked(fn, transform, u, is_given)
    method = getattr(type(fn), "log_prob", None)
    if method in _IN_DOUBLE:
        return _in_double(fn, transform, u)
    if method not in _FORMS or (is_given and method in _OF_BOUNDS):
        return None
    value = log_value(transform, u if method in _OF_IMAGES else _wide(u))
    density = None if value is None else _FORMS[method](fn, value)
    return None if density is None else density.to(u.dtype)


def _masked(fn: MaskedDistribution, transform: Transform, u: Tensor, given: bool) -> Tensor | None:
    mask = fn._mask
    if mask is False:
        return None
    if mask is True:
        return log_density(fn.base_dist, transform, u, given)
    counted = mask.reshape(mask.shape + (1,) * (u.dim() - mask.dim()))
    inner = log_density(fn.base_dist, transform, torch.where(counted, u, 0.0), given)
    return None if inner is None else torch.where(mask, inner, 0.0)


def _wide(x: Tensor) -> Tensor:
    return x if x.device.type == "mps" else x.double()


def _in_double(fn: Any, transform: Transform, u: Tensor) -> Tensor | None:
    """Return the density at a value that double precision does not round to 0 or infinity."""
    if u.dtype == torch.float64:
        return None
    density: Tensor = fn.log_prob(transform(_wide(u)))
    return density.to(u.dtype)


# densities with gamma functions, in the same terms as `ppl.distributions.saddle_point`


def _fit(concentration: Tensor, log_mean: Tensor) -> Tensor:
    """Return how much worse a mean is than the concentration, see :func:`ppl.ops.deviance`."""
    gap = log_mean - concentration.log()
    return concentration * (gap.expm1() - gap)


def _power(concentration: Tensor, log_mean: Tensor) -> Tensor:
    return minus_log_gamma_rest(concentration) - _fit(concentration, log_mean)


def _gamma(fn: Any, x: LogValue) -> Tensor:
    return _power(_wide(fn.concentration), _wide(fn.rate).log() + x.log) - x.log


def _inverse_gamma(fn: Any, x: LogValue) -> Tensor:
    return _power(_wide(fn.concentration), _wide(fn.rate).log() - x.log) - x.log


def _dirichlet(fn: Any, x: LogValue) -> Tensor:
    concentration = _wide(fn.concentration)
    size = concentration.sum(-1)
    terms = _power(concentration, size.log().unsqueeze(-1) + x.log) - x.log
    return terms.sum(-1) - minus_log_gamma_rest(size)


def _beta(fn: Any, x: LogValue) -> Tensor | None:
    if x.log_rest is None:
        return None
    heads, tails = _wide(fn.concentration1), _wide(fn.concentration0)
    size = heads + tails
    upper, lower = _power(heads, size.log() + x.log), _power(tails, size.log() + x.log_rest)
    return upper - x.log + lower - x.log_rest - minus_log_gamma_rest(size)


def _affine_beta(fn: Any, x: LogValue) -> Tensor | None:
    density = _beta(fn, x)
    return None if density is None else density - fn.scale.log()


def _fisher_snedecor(fn: Any, x: LogValue) -> Tensor:
    upper, lower = _wide(fn.df1) / 2, _wide(fn.df2) / 2
    log_size, log_odds = (upper + lower).log(), (upper / lower).log() + x.log
    above, below = log_size + logsigmoid(log_odds), log_size + logsigmoid(-log_odds)
    return _power(upper, above) + _power(lower, below) - minus_log_gamma_rest(upper + lower) - x.log


# others


def _half_cauchy(fn: Any, x: LogValue) -> Tensor:
    log_scale = fn.scale.log()
    density: Tensor = math.log(2 / math.pi) - log_scale - softplus(2 * (x.log - log_scale))
    return density


def _weibull(fn: Any, x: LogValue) -> Tensor:
    log_power = fn.concentration * (x.log - fn.scale.log())
    density: Tensor = fn.concentration.log() + log_power - x.log - log_power.exp()
    return density


def _pareto(fn: Any, x: LogValue) -> Tensor:
    log_ratio = softplus(x.log - fn.scale.log())  # of the value and the threshold
    density: Tensor = (fn.alpha / fn.scale).log() - (fn.alpha + 1) * log_ratio
    return density


def _kumaraswamy(fn: Any, x: LogValue) -> Tensor:
    heads, tails = fn.concentration1, fn.concentration0
    log_rest = (-(heads * x.log).expm1()).log()
    density: Tensor = heads.log() + tails.log() + (heads - 1) * x.log + (tails - 1) * log_rest
    return density


def _uniform(fn: Any, x: LogValue) -> Tensor:
    density: Tensor = (-(fn.high - fn.low).log()).expand(x.log.shape)
    return density


def _logistic_normal(fn: Any, x: LogValue) -> Tensor | None:
    if x.log_rest is None:
        return None
    log_odds = x.log[..., :-1] - x.log_rest
    pieces = torch.arange(log_odds.shape[-1], 0, -1).to(log_odds)
    density: Tensor = fn.base_dist.log_prob(log_odds + pieces.log())
    return density - (logsigmoid(-log_odds) + x.log[..., :-1]).sum(-1)


def _image(fn: Any, x: LogValue) -> Tensor | None:
    """Return the density of the exponential, or the sigmoid, of a variable such as a normal one."""
    (transform, *others) = fn.transforms
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    if others:
        return None
    if isinstance(transform, ExpTransform):
        original, log_slope = x.log, x.log
    elif isinstance(transform, SigmoidTransform) and x.log_rest is not None:
        original, log_slope = x.log - x.log_rest, x.log + x.log_rest
    else:
        return None
    density: Tensor = fn.base_dist.log_prob(original)
    return density - sum_rightmost(log_slope, fn.event_dim)


def _lkj_cholesky(fn: Any, x: LogValue) -> Tensor:
    power = fn.dim - 2 - torch.arange(fn.dim - 1).to(x.log)
    order = 2 * (fn.concentration.unsqueeze(-1) - 1) + power
    volume = saddle_point.correlation_volume(fn.concentration, dim=fn.dim)
    density: Tensor = (order * x.log[..., 1:]).sum(-1) - volume
    return density


def _lkj(fn: Any, x: LogValue) -> Tensor:
    volume = saddle_point.correlation_volume(fn.concentration, dim=fn.dim)
    density: Tensor = 2 * (fn.concentration - 1) * x.log.sum(-1) - volume
    return density


def _wishart(fn: Any, x: LogValue) -> Tensor | None:
    if x.factor is None:
        return None
    df, root = _wide(fn.df), _wide(fn._unbroadcasted_scale_tril)
    dim = root.shape[-1]
    trace = torch.linalg.solve_triangular(root, x.factor, upper=False).square().sum((-2, -1))
    log_det_scale = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    normalizer = df / 2 * (dim * math.log(2) + log_det_scale) + torch.mvlgamma(df / 2, dim)
    density: Tensor = (df - dim - 1) * x.log.sum(-1) - trace / 2 - normalizer
    return density


# their base may not mix precisions
_OF_IMAGES = (td.TransformedDistribution.log_prob, dist.TransformedDistribution.log_prob)
# a form stands for a method: a subclass with a density of its own has none of these
_FORMS: dict[Any, Form] = {
    dist.AffineBeta.log_prob: _affine_beta,
    dist.Beta.log_prob: _beta,
    dist.Chi2.log_prob: _gamma,
    dist.Dirichlet.log_prob: _dirichlet,
    dist.FisherSnedecor.log_prob: _fisher_snedecor,
    dist.Gamma.log_prob: _gamma,
    dist.HalfCauchy.log_prob: _half_cauchy,
    dist.InverseGamma.log_prob: _inverse_gamma,
    dist.Kumaraswamy.log_prob: _kumaraswamy,
    dist.LKJ.log_prob: _lkj,
    dist.LKJCholesky.log_prob: _lkj_cholesky,
    dist.LKJCorrCholesky.log_prob: _lkj_cholesky,
    dist.LogNormal.log_prob: _image,
    dist.LogisticNormal.log_prob: _logistic_normal,
    dist.Pareto.log_prob: _pareto,
    dist.RelaxedBernoulli.log_prob: _image,
    dist.RelaxedBernoulliStraightThrough.log_prob: _image,
    dist.RelaxedOneHotCategorical.log_prob: _image,
    dist.RelaxedOneHotCategoricalStraightThrough.log_prob: _image,
    dist.Uniform.log_prob: _uniform,
    dist.Weibull.log_prob: _weibull,
    dist.Wishart.log_prob: _wishart,
    **dict.fromkeys(_OF_IMAGES, _image),
}
# their support depends on parameters: the value is outside where another transform puts it
_OF_BOUNDS = {dist.AffineBeta.log_prob, dist.Pareto.log_prob, dist.Uniform.log_prob}
_IN_DOUBLE = {
    dist.FoldedDistribution.log_prob,
    dist.GeneralizedPareto.log_prob,
    dist.Truncated.log_prob,
}
