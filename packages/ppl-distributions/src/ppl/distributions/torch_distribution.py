"""The interface, at the path that programs import it from."""

from __future__ import annotations

from ppl.distribution import ExpandedDistribution as ExpandedDistribution
from ppl.distribution import MaskedDistribution as MaskedDistribution
from ppl.distribution import TorchDistribution as TorchDistribution
from ppl.distribution import TorchDistributionMixin as TorchDistributionMixin
