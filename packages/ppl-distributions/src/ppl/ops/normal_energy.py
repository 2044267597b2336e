"""The density of a normal as a function of its covariance, with a gradient that costs little."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ppl.ops.cholesky import eye_like, triangular_solve


def normal_energy(deviation: Tensor, covariance: Tensor, scale_tril: Tensor) -> Tensor:
    """Return half the squared Mahalanobis distance plus half the log determinant, in nats.

    The gradient with respect to the covariance is ``(P - P x x^T P) / 2`` with the precision ``P``
    (Petersen & Pedersen 2012, equations 57 and 61): one triangular inverse instead of the
    derivative of a Cholesky factorization.  Derivatives of all orders and modes are exact.

    Args:
        deviation: From the mean, shape ``(*batch, n)``.
        covariance: Shape ``(*batch, n, n)``.
        scale_tril: Its lower Cholesky factor.

    Returns:
        Shape ``(*batch,)``.
    """
    if forward_ad._current_level >= 0:  # torch loses second derivatives of a function of our own
        return _energy(deviation, scale_tril)
    energy: Tensor = _NormalEnergy.apply(  # type: ignore[no-untyped-call]
        deviation, covariance, scale_tril
    )
    return energy


def _energy(deviation: Tensor, scale_tril: Tensor) -> Tensor:
    white = triangular_solve(deviation.unsqueeze(-1), scale_tril)
    half_log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    energy: Tensor = 0.5 * white.square().sum((-2, -1)) + half_log_det
    return energy


class _NormalEnergy(torch.autograd.Function):
    """The derivatives use the factor, whose own derivative makes those of higher order exact."""

    generate_vmap_rule = True

    @staticmethod
    def forward(deviation: Tensor, covariance: Tensor, scale_tril: Tensor) -> Tensor:
        return _energy(deviation, scale_tril)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        deviation, _, scale_tril = inputs
        ctx.save_for_backward(deviation, scale_tril)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        deviation, scale_tril = ctx.saved_tensors
        root = triangular_solve(eye_like(scale_tril), scale_tril)
        pull = root.mT @ (root @ deviation.unsqueeze(-1))
        slope = 0.5 * (root.mT @ root - pull * pull.mT)
        return grad.unsqueeze(-1) * pull.squeeze(-1), grad.unsqueeze(-1).unsqueeze(-1) * slope, None
