"""Power laws above a threshold.

The threshold is a parameter, so it belongs to the density: a value below it has log density -inf
even when validation is off. torch's transforms would give a finite number there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import Transform
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid, softplus

from ppl.distribution import TorchDistribution
from ppl.ops.quotients import relative_expm1, relative_log1p

from .noise import keep_positive, standard_exponential
from .transformed import TransformedDistribution


class Pareto(torch.distributions.Pareto, TransformedDistribution):
    """Pareto with threshold ``scale > 0`` and tail index ``alpha > 0``, on ``x >= scale``."""

    def _inside(self, draw: Tensor) -> Tensor:
        return keep_positive(draw)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = value >= self.scale
        log_ratio = torch.where(inside, value / self.scale, 1.0).log()
        density = (self.alpha / self.scale).log() - (self.alpha + 1) * log_ratio
        return torch.where(inside, density, -torch.inf)


class GeneralizedPareto(TorchDistribution):
    """Generalized Pareto, the limit law of excesses over a threshold (Pickands 1975).

    The density is ``(1 + c z) ** -(1 + 1 / c) / scale`` with ``z = (x - loc) / scale``; it is an
    exponential for ``c = 0`` and has the upper end ``loc - scale / c`` for ``c < 0``.

    Args:
        loc: The threshold.
        scale: The scale, positive.
        concentration: The tail index ``c``, real.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }

    loc: Tensor
    scale: Tensor
    concentration: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(GeneralizedPareto, _instance)
        batch_shape = torch.Size(batch_shape)
        for name in self.arg_constraints:
            setattr(new, name, getattr(self, name).expand(batch_shape))
        super(GeneralizedPareto, new).__init__(batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return _Excess(self)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_exponential(self._extended_shape(sample_shape), self.loc)
        end = torch.nextafter(self._end().clamp(max=torch.finfo(noise.dtype).max), self.loc)
        return torch.minimum(self._from_exponential(noise), end.detach())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z, inside = self._standardize(value)
        cz = self.concentration * z
        density = -self.scale.log() - cz.log1p() - z * relative_log1p(cz)
        density = torch.where(inside, density, -torch.inf)
        return torch.where(value == self._end(), self._log_density_at_end(), density)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of a value at most ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        z, inside = self._standardize(value)
        below = -(-z * relative_log1p(self.concentration * z)).expm1()
        return torch.where(inside, below, (value > self.loc).to(below))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value below which lies probability ``value``."""
        inside = value < 1
        quantile = self._from_exponential(-(-torch.where(inside, value, 0.5)).log1p())
        return torch.where(inside, quantile, self._end())

    def _end(self) -> Tensor:
        """Return the upper end of the support."""
        bounded = self.concentration < 0
        distance = self.scale / torch.where(bounded, -self.concentration, 1.0)
        return torch.where(bounded, self.loc + distance, torch.inf)

    def _log_density_at_end(self) -> Tensor:
        """Return the limit at the upper end: 0, a jump of the uniform density, or a pole."""
        pole = torch.where(self.concentration < -1, torch.inf, -torch.inf).to(self.scale)
        return torch.where(self.concentration == -1, -self.scale.log(), pole)

    def _standardize(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``z``, set to 0 outside the support, and whether the value is inside."""
        z = (value - self.loc) / self.scale
        inside = (z >= 0) & (self.concentration * z > -1) & (z < torch.inf)
        return torch.where(inside, z, 0.0), inside

    def _from_exponential(self, excess: Tensor) -> Tensor:
        """Return the image of an excess over 0 with law Exponential(1)."""
        return self.loc + self.scale * excess * relative_expm1(self.concentration * excess)

    @property
    def mean(self) -> Tensor:
        """Mean, infinite for ``concentration >= 1``."""
        finite = self.concentration < 1
        c = torch.where(finite, self.concentration, 0.0)
        return torch.where(finite, self.loc + self.scale / (1 - c), torch.inf)

    @property
    def variance(self) -> Tensor:
        """Variance, infinite for ``concentration >= 1/2``."""
        finite = self.concentration < 0.5
        c = torch.where(finite, self.concentration, 0.0)
        return torch.where(finite, self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c)), torch.inf)

    def entropy(self) -> Tensor:
        """Return the differential entropy in nats."""
        return self.scale.log() + self.concentration + 1


class _Excess(constraints.Constraint):
    """Values from the threshold up to the end point, which may be infinite."""

    def __init__(self, dist: GeneralizedPareto) -> None:
        self.dist = dist

    def check(self, value: Tensor) -> Tensor:
        return self.dist._standardize(value)[1]


class _ExcessTransform(Transform):
    """Bijection from the reals, by the quantile function after softplus.

    torch's transform to an interval needs a finite end.
    """

    domain = constraints.real
    bijective = True
    sign = +1

    codomain: _Excess

    def __init__(self, codomain: _Excess, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.codomain = codomain

    def _call(self, x: Tensor) -> Tensor:
        return self.codomain.dist._from_exponential(softplus(x))

    def _inverse(self, y: Tensor) -> Tensor:
        z, _ = self.codomain.dist._standardize(y)
        excess = z * relative_log1p(self.codomain.dist.concentration * z)
        return excess + (-(-excess).expm1()).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        dist = self.codomain.dist
        return dist.scale.log() + dist.concentration * softplus(x) + logsigmoid(x)


biject_to.register(_Excess, _ExcessTransform)
transform_to.register(_Excess, _ExcessTransform)
