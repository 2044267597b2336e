"""Values that a program is conditioned on and that change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

Values = Mapping[str, Tensor]


class Slot(dict[str, Tensor]):
    """Values that a program is conditioned on, which are put in from outside."""

    @contextmanager
    def holding(self, values: Values) -> Iterator[None]:
        """Hold other values inside a ``with`` block."""
        before = dict(self)
        self.update(values)
        try:
            yield
        finally:
            self.clear()
            self.update(before)

    def of_one_chain(self) -> dict[str, Tensor]:
        """Return the values with a chain dimension."""
        return {name: x[None] for name, x in self.items()}
