"""Laws that every distribution obeys, for our own tests and for those of plugins.

Describe a family by a :class:`Case` and check it::

    check_distribution(Case("Tent", Tent, dict(width=torch.tensor([1.0, 2.0]))))

or parametrize a test over ``laws_of(case)`` to see each law by name.
"""

from __future__ import annotations

from .case import Case as Case
from .laws import LAWS as LAWS
from .laws import check_distribution as check_distribution
from .laws import laws_of as laws_of

__all__ = ["LAWS", "Case", "check_distribution", "laws_of"]
