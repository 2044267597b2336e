"""Levy's stable distributions."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.errors import SiteError
from ppl.ops.quotients import relative_expm1

from .expansion import expand_parameters
from .noise import standard_exponential, standard_uniform
from .parameters import broadcast_parameters
from .stable_density import standard_log_density


class Stable(TorchDistribution):
    """Levy's alpha-stable distribution: the limit law of sums with heavy tails.

    By default ``loc`` is that of the parametrization S0 of Nolan (1997), continuous in all
    parameters; ``coords="S"`` is the one of scipy, which jumps at ``stability = 1`` and has poor
    geometry for inference.

    The density is an integral (see :mod:`ppl.distributions.stable_density`), some hundred times as
    expensive as that of a normal.

    Args:
        stability: The tail exponent alpha, in (0, 2].
        skew: The skewness beta, in [-1, 1].
        scale: Positive.
        loc: Location in the chosen coordinates.
        coords: ``"S0"`` or ``"S"``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        SiteError: If ``coords`` is neither.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "stability": constraints.interval(0, 2),
        "skew": constraints.interval(-1, 1),
        "scale": constraints.positive,
        "loc": constraints.real,
    }
    support: constraints.Constraint = constraints.real

    stability: Tensor
    skew: Tensor
    scale: Tensor
    loc: Tensor

    def __init__(
        self,
        stability: Tensor | float,
        skew: Tensor | float,
        scale: Tensor | float = 1.0,
        loc: Tensor | float = 0.0,
        coords: Literal["S0", "S"] = "S0",
        validate_args: bool | None = None,
    ) -> None:
        if coords not in ("S0", "S"):
            raise SiteError(f"Stable: coords is {coords!r}, expected 'S0' or 'S'")
        self.stability, self.skew, self.scale, self.loc = broadcast_parameters(
            stability, skew, scale, loc
        )
        self.coords = coords
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        angle = math.pi * (standard_uniform(shape, self.loc) - 0.5)
        exponential = standard_exponential(shape, self.loc)
        noise = standard_draw(self.stability, self.skew, angle, exponential)
        return self._center + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self._center) / self.scale
        return standard_log_density(z, self.stability, self.skew) - self.scale.log()

    @property
    def mean(self) -> Tensor:
        """Mean where ``stability > 1``, else nan."""
        exists = self.stability > 1
        shift = _shift(torch.where(exists, self.stability, 2.0), self.skew)
        return torch.where(exists, self._center - self.scale * shift, torch.nan)

    @property
    def variance(self) -> Tensor:
        """Variance, infinite where ``stability < 2``."""
        return torch.where(self.stability == 2, 2 * self.scale.square(), torch.inf)

    @property
    def _center(self) -> Tensor:
        """Location in the coordinates S0 (Nolan 2017, equation 1.7)."""
        if self.coords == "S0":
            return self.loc
        is_one = self.stability == 1
        shift = _shift(torch.where(is_one, 2.0, self.stability), self.skew)
        at_one = 2 / math.pi * self.skew * self.scale.log()
        return self.loc + self.scale * torch.where(is_one, at_one, shift)


StableWithLogProb = Stable  # the name of a variant whose density is not left out


def _shift(stability: Tensor, skew: Tensor) -> Tensor:
    """Return ``skew * tan(pi stability / 2)``, the distance of the coordinates S0 and S."""
    return skew * (math.pi / 2 * stability).tan()


def standard_draw(stability: Tensor, skew: Tensor, angle: Tensor, exponential: Tensor) -> Tensor:
    """Return a draw of scale 1 in the coordinates S0 (Chambers, Mallows and Stuck 1976).

    Their formula in the coordinates S is, with ``e = 1 - stability`` and ``t = _shift(...)``,

        (tan U cos(e U) - sin(e U) + t (cos(e U) + tan U sin(e U))) * W ** (e / stability)

    where ``W = (cos(e U) + t sin(e U)) / (E cos U)``. At ``e = 0`` the shift ``t`` is infinite; so
    ``t`` is subtracted here by hand, and enters as ``e t``, which is finite.
    """
    e = 1 - stability
    et = skew * 2 / math.pi / relative_tan(math.pi / 2 * e)
    eu = e * angle
    sine = angle * torch.sinc(eu / math.pi)  # sin(e U) / e
    direction = eu.cos() + et * sine
    direction = direction.clamp(min=torch.finfo(direction.dtype).tiny)
    log_w = direction.log() - (exponential * angle.cos()).log()
    growth = log_w / stability  # W ** (e / stability) = exp(e * growth)
    power = (e * growth).exp()
    half = angle / 2 * torch.sinc(eu / 2 / math.pi)  # sin(e U / 2) / e
    rest = eu.cos() * growth * relative_expm1(e * growth) - 2 * e * half.square()
    return (angle.tan() * direction - e * sine) * power + et * rest


def relative_tan(x: Tensor) -> Tensor:
    """Return ``tan(x) / x``."""
    return torch.sinc(x / math.pi) / x.cos()
