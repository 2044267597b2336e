"""``plate``: conditionally independent elements, vectorized or one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import PlateError
from .broadcast_messenger import BroadcastMessenger
from .messenger import block_messengers
from .subsample_messenger import SubsampleMessenger


class PlateMessenger(SubsampleMessenger):
    """Declares that what happens inside is independent for each element, given what is outside.

    As a context it is vectorized: sample sites are expanded at the plate's batch dimension, and the
    context yields the indices. As an iterator it is sequential and yields one index after another.
    With ``subsample_size`` it uses a random subset and scales log densities by
    ``size / subsample_size``, so that they stay unbiased.

    Args:
        name: A name, unique within the program.
        size: The number of elements.
        subsample_size: How many elements to draw without replacement; default: all, in order.
        subsample: The indices to use, instead of drawing them; those of a trace that is replayed
            come first.
        dim: The (negative) batch dimension; by default the rightmost that no enclosing plate uses.
        use_cuda: Deprecated spelling of ``device="cuda"``.
        device: Where indices live.
        coords: A different label for each element of the whole plate, such as names; results show
            them.

    Raises:
        PlateError: For a dim that is not negative or already taken, a size that is no number of
            elements, an inconsistent subsample, or coords of another length.

    Example:
        >>> import torch
        >>> from ppl.distribution import Delta
        >>> from ppl.primitives import plate, sample
        >>> with plate("data", 3) as indices:
        ...     x = sample("x", Delta(torch.tensor(1.0)))
        >>> x.shape, indices
        (torch.Size([3]), tensor([0, 1, 2]))
    """

    def _process_message(self, msg: dict[str, Any]) -> None:
        super()._process_message(msg)
        if self.dim is not None and msg["type"] == "sample":
            BroadcastMessenger._pyro_sample(msg)

    def __enter__(self) -> Any:
        super().__enter__()
        return self.indices if self._indices is not None else None


@contextmanager
def block_plate(
    name: str | None = None, dim: int | None = None, *, strict: bool = True
) -> Iterator[None]:
    """Take one enclosing plate out of effect for a ``with`` block.

    Args:
        name: The name of the plate; or
        dim: its dimension.
        strict: Whether it is an error if there is no such plate.
    """
    if (name is None) == (dim is None):
        raise PlateError(f"block_plate needs either name or dim, got name={name!r}, dim={dim!r}")

    def is_meant(handler: Any) -> bool:
        return isinstance(handler, PlateMessenger) and (
            handler.name == name if name else handler.dim == dim
        )

    with block_messengers(is_meant) as blocked:
        if strict and len(blocked) != 1:
            raise PlateError(
                f"block_plate matches {len(blocked)} enclosing plates instead of one: "
                f"name={name!r}, dim={dim!r}"
            )
        yield
