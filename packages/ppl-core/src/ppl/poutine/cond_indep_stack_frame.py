"""The frame that a plate puts on the sites inside."""

from __future__ import annotations

from typing import NamedTuple


class CondIndepStackFrame(NamedTuple):
    """One plate around a site.

    ``dim`` is the (negative) batch dimension of a vectorized plate, None in a sequential one, where
    ``counter`` tells the iterations apart. ``size`` is the size of the subsample, ``full_size``
    that of the whole plate.
    """

    name: str
    dim: int | None
    size: int
    counter: int
    full_size: int | None = None

    @property
    def vectorized(self) -> bool:
        return self.dim is not None
