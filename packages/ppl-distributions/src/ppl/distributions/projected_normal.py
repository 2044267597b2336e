"""Directions of normal vectors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ppl.distribution import TorchDistribution
from ppl.errors import ShapeError

from . import constraints
from .expansion import expand_parameters
from .noise import standard_normal
from .tails import log_ndtr
from .transforms import Normalize


class ProjectedNormal(TorchDistribution):
    """Direction of a normal vector with mean ``concentration`` and unit covariance.

    Concentration zero is the uniform law on the sphere; in contrast to von Mises-Fisher draws are
    reparameterized (Presnell, Morrison and Littell 1998; Hernandez-Stumpfhauser, Breidt and van
    der Woerd 2017).

    Args:
        concentration: Mean before projection, shape ``(*batch, dim)`` with ``dim >= 2``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``dim`` is less than 2.

    Example:
        >>> ProjectedNormal(torch.tensor([3.0, 4.0])).mean
        tensor([0.6000, 0.8000])
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {"concentration": constraints.real_vector}
    support: constraints.Constraint = constraints.sphere

    def __init__(self, concentration: Tensor, *, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1 or concentration.shape[-1] < 2:
            raise ShapeError(
                "ProjectedNormal: expected a concentration of shape (*batch, dim) with dim >= 2, "
                f"got {tuple(concentration.shape)}"
            )
        self.concentration = concentration
        batch_shape, event_shape = concentration.shape[:-1], concentration.shape[-1:]
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        shape = torch.Size(arg_shapes["concentration"])
        return shape[:-1], shape[-1:]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        x = self.concentration + standard_normal(shape, self.concentration)
        return normalize(x, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the integral of the normal density along the ray.

        With ``t`` the component of the mean along ``value`` it is the density of what is
        orthogonal times the integral of ``s ** (dim - 1) * exp(-(s - t) ** 2 / 2)``.
        """
        if self._validate_args:
            self._validate_sample(value)
        dim = self.event_shape[0]
        t = (self.concentration * value).sum(-1)
        orthogonal2 = (self.concentration - t.unsqueeze(-1) * value).square().sum(-1)
        return log_half_moment(t, dim - 1) - (orthogonal2 + (dim - 1) * math.log(2 * math.pi)) / 2

    @property
    def mean(self) -> Tensor:
        """The direction at the least mean squared distance along the sphere.

        It is the first axis for concentration zero, where all directions are equal.
        """
        direction: Tensor = Normalize()(self.concentration)
        return direction

    @property
    def mode(self) -> Tensor:
        """The direction of the greatest density."""
        return self.mean


def log_half_moment(t: Tensor, order: int) -> Tensor:
    """Return ``log E[s ** order; s > 0]`` for a normal ``s`` of mean ``t`` and unit deviation.

    Integration by parts gives ``M[k + 1] = t M[k] + k M[k - 1]``. Its terms cancel where ``t`` is
    far below 0; there the ratios of successive moments come from the recursion backwards,
    ``r[k] = k / (r[k + 1] - t)``, which forgets its start (Gautschi 1967, theorem 1.1).
    """
    far = t < _FAR
    near = torch.where(far, 0.0, t)
    below = log_ndtr(near).exp()
    moment = (-near.square() / 2).exp() / math.sqrt(2 * math.pi) + near * below
    for k in range(1, order):
        below, moment = moment, near * moment + k * below
    log_far = log_ndtr(t) + _log_ratios(torch.where(far, t, _FAR), order)
    return torch.where(far, log_far, moment.log())


_FAR = -3.0
_STEPS = 40  # more than enough for 16 digits at _FAR


def _log_ratios(t: Tensor, order: int) -> Tensor:
    """Return ``log(M[order] / M[0])`` for ``t`` at most ``_FAR``."""
    last = order + _STEPS
    ratio = (t + (t.square() + 4 * last).sqrt()) / 2  # the fixed point
    log_product = torch.zeros_like(t)
    for k in range(last, 0, -1):
        ratio = k / (ratio - t)
        if k <= order:
            log_product = log_product + ratio.log()
    return log_product
