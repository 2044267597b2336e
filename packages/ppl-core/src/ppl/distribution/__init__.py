"""The interface that every distribution of a model implements, and the wrappers that all need.

Families of distributions live in ``ppl.distributions`` (plural), another distribution; this package
is what samplers, handlers and plugins program against.
"""

from .delta import Delta as Delta
from .expanded import ExpandedDistribution as ExpandedDistribution
from .independent import Independent as Independent
from .interface import Distribution as Distribution
from .masked import MaskedDistribution as MaskedDistribution
from .mixin import TorchDistribution as TorchDistribution
from .mixin import TorchDistributionMixin as TorchDistributionMixin
from .score_parts import ScoreParts as ScoreParts
from .unit import Unit as Unit
from .wrapping import wrap as wrap

__all__ = [
    "Delta",
    "Distribution",
    "ExpandedDistribution",
    "Independent",
    "MaskedDistribution",
    "ScoreParts",
    "TorchDistribution",
    "TorchDistributionMixin",
    "Unit",
    "wrap",
]
