"""Values in log space, as bijections from the unconstrained scale give them.

``exp(-110)`` is 0 in single precision and ``1 - sigmoid(40)`` in double: their logarithms, and so
the slope of a density there, are lost.  On the unconstrained scale they are there.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Transform
from torch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    SigmoidTransform,
    SoftplusTransform,
    StickBreakingTransform,
)
from torch.nn.functional import logsigmoid, softplus

from ppl.distribution.util import sum_rightmost
from ppl.distributions.transforms.correlations import (
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
    _log_sech,
)
from ppl.distributions.transforms.matrices import CholeskyTransform
from ppl.distributions.transforms.triangles import (
    LowerCholeskyBijection,
    lower_triangle,
    strict_triangle,
)

SMALL = -40.0  # below, softplus(u) is exp(u) in double precision


class LogValue(NamedTuple):
    """A value in log space.

    Attributes:
        log: Log of the value; that of its distance to the lower bound if it has another one than 0,
            as a part of the interval if it has an upper one; of a matrix, that of the diagonal of
            its Cholesky factor.
        log_rest: What is missing to 1, if the value is bounded; for a simplex, ``(*batch, k - 1)``,
            what is left of it after each coordinate.
        factor: The Cholesky factor of a covariance matrix.
    """

    log: Tensor
    log_rest: Tensor | None = None
    factor: Tensor | None = None


@singledispatch
def log_value(transform: Transform, u: Tensor) -> LogValue | None:
    """Return ``transform(u)`` in log space; None if it is not known how to."""
    return None


@log_value.register
def _(transform: IndependentTransform, u: Tensor) -> LogValue | None:
    return log_value(transform.base_transform, u)


@log_value.register
def _(transform: ComposeTransform, u: Tensor) -> LogValue | None:
    is_known = len(transform.parts) == 2 and isinstance(transform.parts[1], AffineTransform)
    return log_value(transform.parts[0], u) if is_known or _is_squared(transform) else None


@log_value.register
def _(transform: ExpTransform, u: Tensor) -> LogValue:
    return LogValue(u)


@log_value.register
def _(transform: SoftplusTransform, u: Tensor) -> LogValue:
    return LogValue(torch.where(u < SMALL, u, softplus(u.clamp(min=SMALL)).log()))


@log_value.register
def _(transform: SigmoidTransform, u: Tensor) -> LogValue:
    return LogValue(logsigmoid(u), logsigmoid(-u))


@log_value.register
def _(transform: StickBreakingTransform, u: Tensor) -> LogValue:
    log_share, left = _pieces(u)
    log = torch.nn.functional.pad(log_share, (0, 1)) + torch.nn.functional.pad(left, (1, 0))
    return LogValue(log, left)


@log_value.register
def _(transform: CorrCholeskyTransform, u: Tensor) -> LogValue:
    return LogValue(_log_sech(strict_triangle(u)).tril(-1).sum(-1))


@log_value.register
def _(transform: LowerCholeskyBijection, u: Tensor) -> LogValue | None:
    diagonal = log_value(transform.diagonal, lower_triangle(u).diagonal(dim1=-2, dim2=-1))
    return None if diagonal is None else diagonal._replace(factor=transform(u))


@singledispatch
def log_slope(transform: Transform, u: Tensor, value: Tensor) -> Tensor:
    """Return the log Jacobian of a transform at ``u``, from which ``value`` came."""
    slope: Tensor = transform.log_abs_det_jacobian(u, value)
    return slope


@log_slope.register
def _(transform: IndependentTransform, u: Tensor, value: Tensor) -> Tensor:
    slope = log_slope(transform.base_transform, u, value)
    return sum_rightmost(slope, transform.reinterpreted_batch_ndims)


@log_slope.register
def _(transform: StickBreakingTransform, u: Tensor, value: Tensor) -> Tensor:
    log_share, left = _pieces(u)
    # torch's formula takes the logs of rounded coordinates; a piece is a share of what was left
    return (log_share + left).sum(-1)


@log_slope.register
def _(transform: ComposeTransform, u: Tensor, value: Tensor) -> Tensor:
    root = log_value(transform, u) if _is_squared(transform) else None
    if root is None:
        slope: Tensor = transform.log_abs_det_jacobian(u, value)
        return slope
    first, _ = transform.parts
    # L L^T has the slope L[j, j] for each entry of column j below the diagonal, and 2 L[j, j] on it
    size = root.log.shape[-1]
    powers = torch.arange(size, 0, -1, device=u.device).to(u)
    on_diagonal = root.factor is not None
    powers, constant = (powers, size * math.log(2)) if on_diagonal else (powers - 1, 0.0)
    own: Tensor = first.log_abs_det_jacobian(u, first(u))
    return own + (powers * root.log).sum(-1) + constant


def _is_squared(transform: ComposeTransform) -> bool:
    """Whether a transform ends by multiplying a Cholesky factor with its transpose."""
    inverses = [part.inv for part in transform.parts[1:]]
    roots = (CholeskyTransform, CorrMatrixCholeskyTransform)
    return len(inverses) == 1 and isinstance(inverses[0], roots)


def _pieces(u: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logs of the share of each piece in what is left of the stick, and of what is then.

    The log odds are shifted by torch's convention.
    """
    number = torch.arange(u.shape[-1], 0, -1, device=u.device)
    log_odds = u - number.to(u).log()
    return logsigmoid(log_odds), logsigmoid(-log_odds).cumsum(-1)
