"""The number of components of an event, which a location and its matrices say alike."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ppl.errors import ShapeError


def require_one_size(owner: str, **parameters: tuple[Tensor | None, int]) -> None:
    """Refuse vectors and square matrices of different sizes; a size of 1 is one of them.

    Args:
        owner: The name of the distribution.
        parameters: Each with its number of dimensions in an event; those that are None are left
            out.

    Raises:
        ShapeError: If two sizes differ, or a parameter has too few dimensions.

    Example:
        >>> import torch
        >>> require_one_size("Normal", loc=(torch.zeros(5, 3), 1), scale_tril=(torch.eye(3), 2))
    """
    given = [(name, x, n) for name, (x, n) in parameters.items() if x is not None]
    size = given[0][1].shape[-1:]
    for _, value, event_dim in given:
        if len(size) != 1 or value.shape[-event_dim:] != size * event_dim:
            raise _disagreement(owner, given)


def _disagreement(owner: str, given: list[Any]) -> ShapeError:
    expected = " and ".join(f"{name} (*batch, {', '.join('n' * dim)})" for name, _, dim in given)
    got = " and ".join(str(tuple(value.shape)) for _, value, _ in given)
    return ShapeError(
        f"{owner}: expected {expected} of one size n, got {got}; a vector of equal components is "
        "written value.expand(n)"
    )
