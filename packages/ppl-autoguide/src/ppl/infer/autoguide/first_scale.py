"""The scale that a guide starts with."""

from __future__ import annotations

import math

from ppl.errors import SupportError


def positive_scale(init_scale: float) -> float:
    """Return the scale.

    Raises:
        SupportError: If it is not positive and finite.
    """
    if not (isinstance(init_scale, (int, float)) and 0 < init_scale < math.inf):
        raise SupportError(f"init_scale must be a positive number, got {init_scale!r}")
    return float(init_scale)
