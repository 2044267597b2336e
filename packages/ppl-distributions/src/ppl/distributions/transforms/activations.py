"""Invertible activation functions of neural networks, as transforms of the real line."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import transforms as torch_transforms
from torch.distributions.transforms import Transform

from .. import constraints

LEAK = 0.01  # slope of LeakyReLUTransform below zero


class ELUTransform(Transform):
    """Bijection ``y = x`` above zero and ``y = exp(x) - 1`` below, onto numbers above -1.

    Example:
        >>> ELUTransform().inv(ELUTransform()(torch.tensor([-1.0, 2.0])))
        tensor([-1.,  2.])
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.greater_than(-1.0)
    bijective = True
    sign = +1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ELUTransform)

    def _call(self, x: Tensor) -> Tensor:
        return torch.nn.functional.elu(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.clamp(min=0) + y.clamp(max=0).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.clamp(max=0)


class LeakyReLUTransform(Transform):
    """Bijection ``y = x`` above zero and ``y = x / 100`` below, of the real line."""

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    bijective = True
    sign = +1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeakyReLUTransform)

    def _call(self, x: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(x, LEAK)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(y, 1 / LEAK)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.zeros_like(x), math.log(LEAK))


class TanhTransform(torch_transforms.TanhTransform):
    """Bijection ``y = tanh(x)`` onto (-1, 1)."""

    @staticmethod
    def atanh(x: Tensor) -> Tensor:
        """Return the inverse hyperbolic tangent."""
        return x.atanh()


def elu() -> ELUTransform:
    """Return an :class:`ELUTransform`."""
    return ELUTransform()


def leaky_relu() -> LeakyReLUTransform:
    """Return a :class:`LeakyReLUTransform`."""
    return LeakyReLUTransform()


def tanh() -> TanhTransform:
    """Return a :class:`TanhTransform`."""
    return TanhTransform()
