"""Binomial families that score every integer, and any number of trials."""

from __future__ import annotations

import torch
from torch import Tensor

from . import constraints
from .beta_binomial import BetaBinomial
from .counts import Binomial
from .trials import given


class ExtendedBinomial(Binomial):
    """Binomial with log density -inf, not an error, outside ``0 <= x <= total_count``.

    ``total_count`` may be negative: then no value is possible. This serves counts that are
    themselves differences of random variables.

    Example:
        >>> ExtendedBinomial(2, 0.5).log_prob(torch.tensor([-1.0, 1.0, 3.0])).exp()
        tensor([0.0000, 0.5000, 0.0000])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        **Binomial.arg_constraints,
        "total_count": constraints.integer,
    }
    support = constraints.integer

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        possible = (value >= 0) & (value <= self.total_count)
        inside = Binomial(
            self.total_count.clamp(min=0), **given(self), validate_args=False
        ).log_prob(torch.where(possible, value, 0.0))
        return torch.where(possible, inside, -torch.inf)


class ExtendedBetaBinomial(BetaBinomial):
    """Beta-binomial with log density -inf, not an error, outside ``0 <= x <= total_count``.

    ``total_count`` may be negative: then no value is possible.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        **BetaBinomial.arg_constraints,
        "total_count": constraints.integer,
    }
    support = constraints.integer

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        possible = (value >= 0) & (value <= self.total_count)
        inside = BetaBinomial(
            self.concentration1,
            self.concentration0,
            self.total_count.clamp(min=0),
            validate_args=False,
        ).log_prob(torch.where(possible, value, 0.0))
        return torch.where(possible, inside, -torch.inf)
