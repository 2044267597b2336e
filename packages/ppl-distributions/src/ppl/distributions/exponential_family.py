"""The base class of exponential families."""

from __future__ import annotations

import torch

from ppl.distribution import TorchDistributionMixin


class ExponentialFamily(torch.distributions.ExponentialFamily, TorchDistributionMixin):
    """Base of families with density ``exp(<t(x), theta> - F(theta) + k(x))``."""
