"""A distribution over directions in space."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints as torch_constraints
from torch.nn.functional import normalize

from ppl.distribution import TorchDistribution
from ppl.errors import ShapeError
from ppl.ops.double import in_double

from . import constraints
from .continuous_bernoulli import ContinuousBernoulli
from .expansion import expand_parameters
from .noise import standard_normal
from .transforms import Normalize


class VonMises3D(TorchDistribution):
    """Von Mises-Fisher over unit vectors ``x`` with density proportional to ``exp(k . x)``.

    The density is with respect to area on the sphere (Fisher 1953).

    Args:
        concentration: The vector ``k``, shape ``(*batch, 3)``: its direction is the mean
            direction, its length the concentration.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``concentration`` is no batch of vectors of three components.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "concentration": torch_constraints.real_vector
    }
    support: constraints.Constraint = constraints.sphere
    has_rsample = True

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
        return _log_density(value, self.concentration)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return the mean direction turned by an angle, into any direction.

        The cosine of the angle has an exponential density (Ulrich 1984), here as twice a continuous
        Bernoulli variable minus one.
        """
        shape = self._extended_shape(sample_shape)
        length = self.concentration.square().sum(-1, keepdim=True)
        length = torch.where(length > 0, length, 1.0).sqrt() * (length > 0)
        axis = Normalize()(self.concentration)
        tilt = ContinuousBernoulli(logits=2 * length, validate_args=False)
        cosine = 2 * tilt.rsample(shape[: len(shape) - 1 - len(self.batch_shape)]) - 1
        noise = standard_normal(shape, self.concentration)
        across = normalize(noise - (noise * axis).sum(-1, keepdim=True) * axis, dim=-1)
        return normalize(cosine * axis + (1 - cosine.square()).relu().sqrt() * across, dim=-1)

    @property
    def mean(self) -> Tensor:
        """Mean direction times the mean cosine of the angle around it."""
        length = self.concentration.square().sum(-1, keepdim=True).sqrt()
        tilt = ContinuousBernoulli(logits=2 * length, validate_args=False)
        axis: Tensor = Normalize()(self.concentration)
        return (2 * tilt.mean - 1) * axis


@in_double  # a sharp density is the small difference of large numbers, whose squares overflow
def _log_density(value: Tensor, concentration: Tensor) -> Tensor:
    """Return the log density; its constant is ``sinh(k) / k``, a function of ``k ** 2``.

    Near 0 a series replaces it, whose slope exists there.
    """
    alignment = (concentration * value).sum(-1)
    squared = concentration.square().sum(-1)
    small = squared < 1e-2
    k = torch.where(small, 1.0, squared).sqrt()
    sharp = (alignment - k) - (-(-2 * k).expm1()).log() + (2 * k).log()
    series = squared / 6 - squared.square() / 180 + squared**3 / 2835 - squared**4 / 37800
    return torch.where(small, alignment - series, sharp) - math.log(4 * math.pi)
