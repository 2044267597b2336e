"""Finite mixtures."""

from __future__ import annotations

import torch

from ppl.distribution import TorchDistributionMixin


class MixtureSameFamily(torch.distributions.MixtureSameFamily, TorchDistributionMixin):
    """Mixture of the rightmost batch entries of one distribution, weighted by a categorical."""
