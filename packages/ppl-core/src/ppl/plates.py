"""Several plates at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from .arguments import check_name, integer, named, wrong_type
from .errors import PlateError
from .poutine.plate_messenger import PlateMessenger


@named("plate_stack")
@contextmanager
def plate_stack(prefix: str, sizes: Sequence[int], rightmost_dim: int = -1) -> Iterator[None]:
    """Open a vectorized plate for each size, side by side: one batch shape in one statement.

    Args:
        prefix: The plates are named ``prefix_0``, ``prefix_1``, ... from the right.
        sizes: Their sizes, as in a batch shape: the last one is the rightmost.
        rightmost_dim: The (negative) dimension of the last size.

    Raises:
        PlateError: If ``rightmost_dim`` is not negative.

    Example:
        >>> import torch
        >>> from ppl.distribution import Delta
        >>> from ppl.primitives import sample
        >>> with plate_stack("grid", (2, 3)):
        ...     sample("x", Delta(torch.tensor(1.0))).shape
        torch.Size([2, 3])
    """
    check_name("plate_stack", prefix)
    rightmost_dim = integer(f"plate_stack {prefix!r}: rightmost_dim", rightmost_dim)
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise wrong_type(f"plate_stack {prefix!r}: sizes", "a tuple of plate sizes", sizes)
    if rightmost_dim >= 0:
        raise PlateError(
            f"plate_stack {prefix!r}: rightmost_dim must be negative (counted from the right), got "
            f"{rightmost_dim}"
        )
    with ExitStack() as opened:
        for i, size in enumerate(reversed(sizes)):
            opened.enter_context(PlateMessenger(f"{prefix}_{i}", size, dim=rightmost_dim - i))
        yield
