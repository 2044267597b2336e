"""The Gompertz distribution of lifetimes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints, register_kl
from torch.distributions.utils import broadcast_all

from ppl.distribution import TorchDistribution


class Gompertz(TorchDistribution):
    """Lifetimes whose hazard ``concentration * rate * exp(rate * t)`` grows exponentially.

    Args:
        concentration: Hazard at birth, in units of ``rate``; positive.
        rate: Growth rate of the hazard; positive.
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(
        self,
        concentration: Tensor | float,
        rate: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Gompertz | None = None) -> Gompertz:
        """Return the distribution with its parameters expanded to ``batch_shape``."""
        new = self._get_checked_instance(Gompertz, _instance)
        new.concentration = self.concentration.expand(batch_shape)
        new.rate = self.rate.expand(batch_shape)
        super(Gompertz, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Return draws by inversion: the cumulative hazard of a lifetime is exponential."""
        shape = self._extended_shape(sample_shape)
        hazard = self.rate.new_empty(shape).exponential_()
        return (hazard / self.concentration).log1p() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of positive lifetimes."""
        if self._validate_args:
            self._validate_sample(value)
        growth = self.rate * value
        log_hazard = self.concentration.log() + self.rate.log() + growth
        return log_hazard - self.concentration * growth.expm1()


@register_kl(Gompertz, Gompertz)  # type: ignore[untyped-decorator]
def _kl_gompertz(p: Gompertz, q: Gompertz) -> Tensor:
    """Return the divergence of lifetimes whose hazards are proportional.

    It is that of the cumulative hazards, which are exponential.
    """
    if not torch.equal(p.rate, q.rate):
        raise NotImplementedError("no closed form for different rates")
    ratio = q.concentration / p.concentration
    return ratio - 1 - ratio.log()
