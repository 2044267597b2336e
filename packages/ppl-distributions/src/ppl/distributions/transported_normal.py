"""Multivariate normals whose draws follow other paths as the scale changes.

A draw ``z`` may move with the scale along any velocity field that moves the density right; all give
unbiased gradients, of different variance (Jankowiak and Obermeyer 2018, section 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .multivariate_normal import MultivariateNormal
from .noise import standard_normal


class OMTMultivariateNormal(MultivariateNormal):
    """Multivariate normal with the gradients of optimal mass transport.

    The velocity is the gradient of a potential, so it has the least kinetic energy: ``A (z - loc)``
    with the symmetric ``A`` for which ``A C + C A`` is the change of the covariance ``C``
    (Jankowiak and Obermeyer 2018, section 5). The gradient takes ``O(n^3)`` operations; its
    variance is usually lower. It can be differentiated once.

    Args:
        loc: Mean, shape ``(*batch, n)``.
        scale_tril: Lower triangular factor of the covariance, shape ``(*batch, n, n)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real_vector,
        "scale_tril": constraints.independent(constraints.lower_triangular, 0),
    }

    def __init__(self, loc: Tensor, scale_tril: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(OMTMultivariateNormal, _instance)
        return super().expand(batch_shape, new)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            deviation = (super().rsample(sample_shape) - self.loc).unsqueeze(-1)
        velocity = _symmetric_flow(self._unbroadcasted_scale_tril) @ deviation
        x: Tensor = self.loc + (deviation + velocity).squeeze(-1)
        return x


def _symmetric_flow(scale_tril: Tensor) -> Tensor:
    """Return zero, with the derivative of the solution ``A`` of ``A C + C A = dC``."""
    scale_tril = scale_tril.tril()
    change = scale_tril @ scale_tril.mT
    change = change - change.detach()
    axes, scales, _ = torch.linalg.svd(scale_tril.detach())
    variances = scales.square()
    sums = variances.unsqueeze(-1) + variances.unsqueeze(-2)
    flow: Tensor = axes @ ((axes.mT @ change @ axes) / sums) @ axes.mT
    return flow


class AVFMultivariateNormal(MultivariateNormal):
    """Multivariate normal with gradients of an adaptive velocity field.

    The field is that of ``loc + scale_tril @ noise`` plus rotations, which leave the density alone:
    entry ``(a, b)`` of ``scale_tril`` also turns the noise in the plane of ``a`` and ``b``, with
    speed ``sum_l B[l, a] C[l, b]`` (Jankowiak and Karaletsos 2019, section 4). ``B`` and ``C`` are
    ``control_var``; its gradient is that of half the squared gradient of ``scale_tril``, so that a
    step of an optimizer makes the variance smaller. Gradients can be taken once.

    Args:
        loc: Mean, shape ``(*batch, n)``.
        scale_tril: Lower triangular factor of the covariance, shape ``(*batch, n, n)``.
        control_var: Shape ``(2, L, n)`` for any ``L``; adapt it together with the other two.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> control_var = torch.full((2, 1, 3), 0.1, requires_grad=True)
        >>> scale_tril = torch.eye(3, requires_grad=True)
        >>> d = AVFMultivariateNormal(torch.zeros(3), scale_tril, control_var)
        >>> d.rsample().square().sum().backward()
        >>> control_var.grad.shape
        torch.Size([2, 1, 3])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real_vector,
        "scale_tril": constraints.independent(constraints.lower_triangular, 0),
        "control_var": constraints.independent(constraints.real, 3),
    }

    def __init__(
        self,
        loc: Tensor,
        scale_tril: Tensor,
        control_var: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        self.control_var = control_var
        super().__init__(loc, scale_tril=scale_tril, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(AVFMultivariateNormal, _instance)
        new.control_var = self.control_var
        return super().expand(batch_shape, new)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        scale_tril = self._unbroadcasted_scale_tril.expand(shape + shape[-1:])
        left, right = self.control_var
        speeds = (left.mT @ right).expand(shape + shape[-1:])
        noise = standard_normal(shape, self.loc)
        deviation: Tensor = _Turned.apply(scale_tril, speeds, noise)
        return self.loc + deviation


class _Turned(torch.autograd.Function):
    """The product ``scale_tril @ noise`` with the derivatives of an adaptive velocity field.

    Args:
        scale_tril: Shape ``(*batch, n, n)``.
        speeds: Of the rotation that belongs to each entry, shape ``(*batch, n, n)``.
        noise: Shape ``(*batch, n)``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(scale_tril: Tensor, speeds: Tensor, noise: Tensor) -> Tensor:
        return (scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        scale_tril, speeds, noise = ctx.saved_tensors
        pulled = scale_tril.mT @ grad.unsqueeze(-1)  # (*batch, n, 1)
        outer = pulled @ noise.unsqueeze(-2)
        turn = outer - outer.mT
        gradient = (grad.unsqueeze(-1) @ noise.unsqueeze(-2) + speeds * turn).tril()
        return gradient, gradient * turn, None
