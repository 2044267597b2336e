"""A distribution over directions in space."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints as torch_constraints

from ppl.distribution import TorchDistribution
from ppl.errors import ShapeError

from . import constraints
from .expansion import expand_parameters


class VonMises3D(TorchDistribution):
    """Von Mises-Fisher over unit vectors ``x`` with density proportional to ``exp(k . x)``.

    The density is with respect to area on the sphere (Fisher 1953). Only :meth:`log_prob` is
    implemented.

    Args:
        concentration: The vector ``k``, shape ``(*batch, 3)``: its direction is the mean
            direction, its length the concentration.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``concentration`` is no batch of vectors of three components.
    """

    arg_constraints = {"concentration": torch_constraints.real_vector}
    support = constraints.sphere

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1 or concentration.shape[-1] != 3:
            raise ShapeError(
                f"VonMises3D: concentration has shape {tuple(concentration.shape)}, expected "
                "(*batch, 3)"
            )
        self.concentration = concentration
        super().__init__(
            concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        alignment = (self.concentration * value).sum(-1)
        return alignment - _log_sphere_integral(self.concentration)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        raise NotImplementedError("VonMises3D has no sampler; it scores observed directions")


def _log_sphere_integral(concentration: Tensor) -> Tensor:
    """Return the log of ``4 pi sinh(k) / k``, a function of the squared length ``k ** 2``.

    Near 0 a series replaces it, whose slope exists there.
    """
    squared = concentration.square().sum(-1)
    small = squared < 1e-2
    k = torch.where(small, 1.0, squared).sqrt()
    large_form = k + (-(-2 * k).expm1()).log() - (2 * k).log()
    series = squared / 6 - squared.square() / 180 + squared**3 / 2835 - squared**4 / 37800
    return math.log(4 * math.pi) + torch.where(small, series, large_form)
