"""Laws that distributions and transforms obey, for our own tests and for those of plugins.

Describe a family by a :class:`Case` and check it::

    check_distribution(Case("Tent", Tent, dict(width=torch.tensor([1.0, 2.0]))))

or parametrize a test over ``laws_of(case)`` to see each law by name. The same for a transform::

    check_transform(TransformCase("cubic", Cubic, shape=(3,)))
"""

from __future__ import annotations

from .case import Case as Case
from .laws import LAWS as LAWS
from .laws import check_distribution as check_distribution
from .laws import laws_of as laws_of
from .transform_case import TransformCase as TransformCase
from .transform_laws import TRANSFORM_LAWS as TRANSFORM_LAWS
from .transform_laws import check_transform as check_transform
from .transform_laws import transform_laws_of as transform_laws_of

__all__ = [
    "LAWS",
    "TRANSFORM_LAWS",
    "Case",
    "TransformCase",
    "check_distribution",
    "check_transform",
    "laws_of",
    "transform_laws_of",
]
