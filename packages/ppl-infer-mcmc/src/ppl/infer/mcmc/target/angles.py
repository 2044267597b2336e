"""Angles on the unconstrained scale: a circle has no ends, and nowhere to run to.

An angle is the direction of a vector in the plane, whose length is drawn along with it.  So the
unconstrained space has the topology of a circle, trajectories turn, and draws lie in (-pi, pi].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints
from torch.distributions.transforms import IndependentTransform

from ppl.distributions import SineBivariateVonMises, SineSkewed

SPREAD = 0.25  # of the length around 1: small enough that vectors near zero hardly occur
_LOG_MASS = math.log(SPREAD * math.sqrt(2 * math.pi))  # of the length's density, but for 1e-4


class Direction(Transform):
    """The angle of a vector ``(*batch, 2)``, in (-pi, pi]; a unit vector is the way back.

    The Jacobian is the density of a length, which has mean 1 and deviation `SPREAD`, over the
    length: integrated over the plane a density of the vector is that of the angle.
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real
    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return torch.atan2(x[..., 1], x[..., 0])

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.stack((y.cos(), y.sin()), -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        length = x.square().sum(-1).sqrt()
        return -0.5 * ((length - 1) / SPREAD).square() - _LOG_MASS

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size(shape[:-1])

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape, 2))


def bijection_of(fn: Any) -> Transform:
    """Return the transform from the unconstrained scale to the values of a distribution."""
    if not _is_of_angles(fn):
        transform: Transform = biject_to(fn.support)
        return transform
    return IndependentTransform(Direction(), fn.event_dim) if fn.event_dim else Direction()


def _is_of_angles(fn: Any) -> bool:
    """Whether a distribution is over angles, be it expanded, masked or made of independent ones."""
    if isinstance(fn, (torch.distributions.VonMises, SineBivariateVonMises, SineSkewed)):
        return True
    base = getattr(fn, "base_dist", None)
    is_transformed = isinstance(fn, torch.distributions.TransformedDistribution)
    return base is not None and not is_transformed and _is_of_angles(base)
