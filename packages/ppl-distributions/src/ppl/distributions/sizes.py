"""The number of components of an event, which a location and its matrices say alike."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ppl.errors import ShapeError


def require_one_size(dist: Any, loc: Tensor, **matrices: Tensor | None) -> None:
    """Refuse a square matrix of another size than a location; a size of 1 is one of them.

    Args:
        dist: The distribution, for the error.
        loc: Shape ``(*batch, n)``.
        matrices: Each of shape ``(*batch, n, n)``, or None.

    Raises:
        ShapeError: If two sizes differ, or a parameter has too few dimensions.

    Example:
        >>> import torch
        >>> require_one_size(None, torch.zeros(5, 3), scale_tril=torch.eye(3))
    """
    size = loc.shape[-1:]
    for name, matrix in matrices.items():
        if matrix is not None and (matrix.shape[-2:] != size + size or not size):
            raise ShapeError(
                f"{type(dist).__name__}: expected loc (*batch, n) and {name} (*batch, n, n) of one "
                f"size n, got {tuple(loc.shape)} and {tuple(matrix.shape)}; a vector of equal "
                "components is written loc.expand(n)"
            )
