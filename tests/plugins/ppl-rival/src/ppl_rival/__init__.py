"""A plugin with a distribution of a name that somebody else has taken."""

from __future__ import annotations

import torch

from ppl.distribution import TorchDistributionMixin


class Gompertz(torch.distributions.Exponential, TorchDistributionMixin):
    """Not the Gompertz distribution that you were looking for."""
