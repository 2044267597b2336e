"""Gaussian factors: made from distributions, multiplied, and integrated over time."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ppl.distribution.util import broadcast_shape

from .affine_normal import AffineNormal as AffineNormal
from .cholesky import eye_like, triangular_solve
from .gaussian_factor import Gaussian as Gaussian
from .matrices import block_diag_embed, matvecmul
from .quadratic import Quadratic, add, integrate_product
from .scan import (
    FEW,
    Sequence,
    along_time,
    associative_reduce,
    associative_scan,
    linear_recurrence,
)

_DENSE = 96**2  # entries of a precision matrix of all states that is not worth taking apart


def mvn_to_gaussian(mvn: Any) -> Gaussian:
    """Return the density of a multivariate normal, or of independent normals, as a factor.

    Args:
        mvn: A ``MultivariateNormal``, or a ``Normal`` with ``to_event(1)``.
    """
    if _is_diagonal(mvn):
        loc, precision = mvn.base_dist.loc, mvn.base_dist.scale.square().reciprocal().diag_embed()
        half_log_det = -mvn.base_dist.scale.log().sum(-1)
    else:
        factor = mvn._unbroadcasted_scale_tril  # expansion stored no copies
        white = triangular_solve(eye_like(factor), factor)
        loc, precision = mvn.loc, white.mT @ white
        half_log_det = -factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    info_vec = matvecmul(precision, loc)
    log_peak = half_log_det - loc.shape[-1] / 2 * math.log(2 * math.pi)
    return Gaussian(log_peak - (info_vec * loc).sum(-1) / 2, info_vec, precision)


def _is_diagonal(mvn: Any) -> bool:
    """Return whether a normal distribution over vectors is one of independent entries."""
    if isinstance(mvn, torch.distributions.MultivariateNormal):
        return False
    base = mvn.base_dist if isinstance(mvn, torch.distributions.Independent) else None
    if isinstance(base, torch.distributions.Normal) and mvn.reinterpreted_batch_ndims == 1:
        return True
    raise TypeError(
        f"expected a MultivariateNormal, or a Normal with .to_event(1), got {mvn}; LinearHMM takes "
        "noise of any kind"
    )


def matrix_and_gaussian_to_gaussian(matrix: Tensor, y_gaussian: Gaussian) -> Gaussian:
    """Return the factor over (x, y) that the factor ``y_gaussian`` gives to ``y - x @ matrix``.

    Args:
        matrix: Shape ``(*batch, n, m)``.
        y_gaussian: A factor over ``m`` variables.
    """
    precision, info = y_gaussian.precision, y_gaussian.info_vec
    cross = matrix @ precision
    top = torch.cat([cross @ matrix.mT, -cross], -1)
    bottom = torch.cat([-cross.mT, precision.expand(cross.shape[:-2] + precision.shape[-2:])], -1)
    above = -matvecmul(matrix, info)
    info_vec = torch.cat([above, info.expand(above.shape[:-1] + info.shape[-1:])], -1)
    return Gaussian(y_gaussian.log_normalizer, info_vec, torch.cat([top, bottom], -2))


def matrix_and_mvn_to_gaussian(matrix: Tensor, mvn: Any) -> Gaussian | AffineNormal:
    """Return the density of y given x where ``y = x @ matrix + noise``.

    Args:
        matrix: Shape ``(*batch, n, m)``.
        mvn: The noise, a ``MultivariateNormal``, or a ``Normal`` with ``to_event(1)``; the latter
            gives an :class:`AffineNormal`.
    """
    if _is_diagonal(mvn):
        return AffineNormal(matrix, mvn.base_dist.loc, mvn.base_dist.scale)
    return matrix_and_gaussian_to_gaussian(matrix, mvn_to_gaussian(mvn))


def gaussian_tensordot(x: Gaussian, y: Gaussian, dims: int = 0) -> Gaussian:
    """Return the product of two factors, integrated over the variables that they share.

    Args:
        x: A factor over ``(a, b)``.
        y: A factor over ``(b, c)``.
        dims: The number of variables in ``b``.

    Returns:
        A factor over ``(a, c)``.
    """
    if dims == 0:
        return x.event_pad(right=y.dim()) + y.event_pad(left=x.dim())
    rest, half_square, log_volume = integrate_product(x.form, y.form, dims)
    return Gaussian(x.log_normalizer + y.log_normalizer + half_square + log_volume, *rest)


def sequential_gaussian_tensordot(gaussian: Gaussian) -> Gaussian:
    """Return the product over time of transition factors, integrated over all states but two.

    Args:
        gaussian: Factors over the states before and after each step, whose rightmost batch
            dimension is time.

    Returns:
        A factor over the first and the last state, without the dimension of time.
    """
    n = gaussian.dim() // 2
    few = integrate_most_states(gaussian)
    ends = Gaussian(few.log_normalizer, *few.form.rotated(n)).marginalize(left=few.dim() - 2 * n)
    return Gaussian(ends.log_normalizer, *ends.form.rotated(n))


def integrate_most_states(gaussian: Gaussian) -> Gaussian:
    """Return the product over time of transition factors, integrated over most of the states.

    Many small steps take longer than one that is not: when few states are left, what remains to be
    done is better done for all of them at once.

    Args:
        gaussian: Factors over the states before and after each step, whose rightmost batch
            dimension is time.

    Returns:
        A factor over the first, the last, and perhaps some states between, without the dimension of
        time.
    """
    n, steps = max(gaussian.dim() // 2, 1), along_time(gaussian)
    copies = max(math.prod(gaussian.precision.shape[:-3]), 1)
    until = min(math.isqrt(_DENSE // copies) // n, FEW)
    return _joint(steps.with_tensors(associative_reduce(_then, steps, max(until, 1))))


def _joint(steps: Sequence) -> Gaussian:
    """Return the product of transition factors as a function of all states."""
    log_normalizer, info_vec, precision = steps.unshared()
    n, length = info_vec.shape[-1] // 2, steps.length
    forms = []
    for start in range(min(length, 2)):  # every other factor has states of its own
        info = info_vec[..., start::2, :].flatten(-2)
        form = Quadratic(info, block_diag_embed(precision[..., start::2, :, :]))
        forms.append(form.padded(start * n, (length + 1 - start) * n - info.shape[-1]))
    return Gaussian(log_normalizer.sum(-1), *reduce(add, forms))


def sequential_gaussian_filter_sample(
    init: Gaussian, trans: Gaussian, sample_shape: Any = (), noise: Tensor | None = None
) -> Tensor:
    """Return draws of all states from the product of an initial and of transition factors.

    Forward filtering, backward sampling (Frühwirth-Schnatter 1994), both in logarithmic depth:
    filters are products of factors, and a state is an affine map of the next one and of noise.

    Args:
        init: A factor over the first state, ``n`` variables.
        trans: Factors over the states before and after each step, whose rightmost batch dimension
            is time.
        sample_shape: Shape of independent draws.
        noise: Standard normal, shape ``(*sample, *batch, time + 1, n)``; drawn if absent.

    Returns:
        States, shape ``(*sample, *batch, time + 1, n)``.
    """
    n = init.dim()
    batch_shape = torch.Size(broadcast_shape(init.batch_shape, trans.batch_shape[:-1]))
    shape = torch.Size(sample_shape) + batch_shape + (trans.batch_shape[-1] + 1, n)
    if noise is None:
        noise = torch.randn(shape, dtype=init.info_vec.dtype, device=init.info_vec.device)
    filters = _filters(init.expand(batch_shape), trans)
    mean, scale = filters[..., -1].form.mean_and_scale()
    last = mean + matvecmul(scale, noise[..., -1, :])
    matrix, offset, scale = _backward_kernels(filters[..., :-1], trans)
    offset = offset + matvecmul(scale, noise[..., :-1, :])
    offset, matrix = torch.cat([offset, last.unsqueeze(-2)], -2), pad(matrix, (0, 0, 0, 0, 0, 1))
    return linear_recurrence(matrix.flip(-3), offset.flip(-2)).flip(-2)


def _filters(init: Gaussian, trans: Gaussian) -> Gaussian:
    """Return the factors over each state that the initial factor and all earlier steps give."""
    n = init.dim()
    products = Gaussian(*associative_scan(_then, along_time(trans)))
    first = init[..., None]
    return Gaussian.cat([first, gaussian_tensordot(first, products, n)], -1)


def _backward_kernels(filters: Gaussian, trans: Gaussian) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``(matrix, offset, scale)`` of each state as an affine map of the next one."""
    n = filters.dim()
    before, _, coupling = trans.form.split(n, n)
    mean, scale = add(filters.form, before).mean_and_scale()
    return -coupling.mT @ scale @ scale.mT, mean, scale


def _then(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    first, second = Gaussian(*x), Gaussian(*y)
    return gaussian_tensordot(first, second, first.dim() // 2).tensors
