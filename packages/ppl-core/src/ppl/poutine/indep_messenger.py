"""Conditional independence: the frames that plates put on sites, and how they get dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch

from ..arguments import check_name, integer
from ..errors import PlateError
from .cond_indep_stack_frame import CondIndepStackFrame as CondIndepStackFrame
from .messenger import Messenger
from .runtime import stack

UNKNOWN = -1  # the size of a plate whose elements are of unknown number: independence only


def as_size(name: str, what: str, size: Any) -> int | None:
    """Return a number of elements as an int; None stays None.

    Raises:
        PlateError: If it is no whole number, such as 10, 10.0 or torch.tensor(10), or negative.
    """
    if size is None:
        return None
    with suppress(TypeError, ValueError, RuntimeError):
        if int(size) == size and size >= 0:
            return int(size)
    raise PlateError(
        f"plate {name!r}: {what} must be the number of its elements, 0 or more, got {size!r}; for "
        "data of unknown number leave it out",
        site=name,
    )


class IndepMessenger(Messenger):
    """Declares the sites inside independent: as a context vectorized, as an iterator one by one.

    Args:
        name: A name, unique within the program.
        size: The number of independent elements.
        dim: The (negative) batch dimension; by default the rightmost that no enclosing plate uses.
        device: Where indices live.
    """

    _keeps_notes = True  # its dim

    def __init__(
        self, name: str, size: int, dim: int | None = None, device: str | torch.device | None = None
    ) -> None:
        check_name("plate", name)
        dim = None if dim is None else integer(f"plate {name!r}: dim", dim, name)
        if dim is not None and dim >= 0:
            raise PlateError(
                f"plate {name!r}: dim must be negative (counted from the right), got {dim}",
                site=name,
            )
        count = size if size == UNKNOWN else as_size(name, "size", size)
        assert count is not None, "only a plate that subsamples may leave its size out"
        self.name = name
        self.size: int = count
        self.dim = dim
        self.device = device
        self.counter: int = 0
        self._dim_is_allocated = dim is None
        self._indices: torch.Tensor | None = None

    def next_context(self) -> None:
        """Begin the next iteration of a sequential plate."""
        self.counter += 1

    @property
    def indices(self) -> torch.Tensor:
        """The indices of the elements, shape ``(size,)``."""
        if self._indices is None:
            self._indices = torch.arange(self.size, device=self.device)
        return self._indices

    def _frame(self) -> CondIndepStackFrame:
        return CondIndepStackFrame(self.name, self.dim, self.size, self.counter)

    def _process_message(self, msg: dict[str, Any]) -> None:
        msg["cond_indep_stack"] = (self._frame(), *msg["cond_indep_stack"])
        super()._process_message(msg)

    def __enter__(self) -> Any:
        dim = self._claim_dim()
        super().__enter__()
        self.dim = dim
        return self

    def __exit__(self, *exception: Any) -> Any:
        if self._dim_is_allocated:
            self.dim = None
        return super().__exit__(*exception)

    def _claim_dim(self) -> int:
        """Return the dim to use, which no enclosing plate may have."""
        if self in stack():
            raise PlateError(
                f"plate {self.name!r} is already active: it cannot be nested in itself; make a "
                "second plate with a name of its own",
                site=self.name,
            )
        taken = {plate.dim: plate.name for plate in stack() if isinstance(plate, IndepMessenger)}
        if self.dim is None:
            return next(dim for dim in range(-1, -len(taken) - 2, -1) if dim not in taken)
        if self.dim in taken:
            raise PlateError(
                f"plate {self.name!r}: dim {self.dim} is taken by the enclosing plate "
                f"{taken[self.dim]!r}; choose another dim, or leave it out",
                site=self.name,
            )
        return self.dim

    def __iter__(self) -> Iterator[int]:
        if self.dim is not None:
            raise PlateError(
                f"plate {self.name!r} is sequential in a for loop and has no dim there, got dim "
                f"{self.dim}; leave dim out, or use the plate in a with statement",
                site=self.name,
            )
        self.counter = 0
        for index in self._iteration_order():
            self.next_context()
            Messenger.__enter__(self)
            try:
                yield index
            finally:
                Messenger.__exit__(self, None, None, None)

    def _iteration_order(self) -> list[int]:
        return list(range(self.size))
