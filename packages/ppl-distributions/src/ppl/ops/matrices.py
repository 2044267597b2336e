"""Products and shapes of batched matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Return the product of two batches of matrices that broadcast with each other."""
    if x.dim() == y.dim() == 3 and x.shape[0] == y.shape[0]:
        return torch.bmm(x, y)  # for small matrices, `@` takes longer to see that it may
    return x @ y


def matvecmul(x: Tensor, y: Tensor) -> Tensor:
    """Return the product of matrices ``(*batch, n, m)`` and vectors ``(*batch, m)``."""
    return (x @ y.unsqueeze(-1)).squeeze(-1)


def repeated_matmul(M: Tensor, n: int) -> Tensor:
    """Return the powers 1 to ``n`` of a matrix, in about ``log2(n)`` products.

    Args:
        M: Shape ``(*batch, k, k)``.
        n: At least 1.

    Returns:
        Shape ``(n, *batch, k, k)``.

    Raises:
        ValueError: If ``n`` is not positive.

    Example:
        >>> repeated_matmul(torch.tensor([[2.0]]), 5).flatten()
        tensor([ 2.,  4.,  8., 16., 32.])
    """
    if n < 1:
        raise ValueError(f"repeated_matmul: expected n >= 1, got {n}")
    powers = M.unsqueeze(0)
    while len(powers) < n:
        powers = torch.cat([powers, powers[-1] @ powers[: n - len(powers)]])
    return powers


def block_diag_embed(mat: Tensor) -> Tensor:
    """Return a block-diagonal matrix, ``(*batch, b, n, m)`` to ``(*batch, b * n, b * m)``.

    Example:
        >>> block_diag_embed(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
        tensor([[1., 2., 0., 0.],
                [0., 0., 3., 4.]])
    """
    count, rows, columns = mat.shape[-3:]
    blocks = torch.diag_embed(mat.movedim(-3, -1), dim1=-4, dim2=-2)  # (*batch, b, n, b, m)
    return blocks.reshape(mat.shape[:-3] + (count * rows, count * columns))


def block_diagonal(mat: Tensor, block_size: int) -> Tensor:
    """Return the diagonal blocks of a matrix; the inverse of :func:`block_diag_embed`.

    Args:
        mat: Shape ``(*batch, b * n, b * m)``.
        block_size: In spite of its name the number ``b`` of blocks, as in Pyro.

    Returns:
        Shape ``(*batch, b, n, m)``.

    Raises:
        ShapeError: If the matrix does not divide into so many blocks.

    Example:
        >>> block_diagonal(torch.eye(4), 2).shape
        torch.Size([2, 2, 2])
    """
    rows, columns = mat.shape[-2:]
    if block_size < 1 or rows % block_size or columns % block_size:
        raise ShapeError(
            f"block_diagonal: a matrix of shape {tuple(mat.shape)} does not divide into "
            f"{block_size} blocks on its diagonal"
        )
    sizes = (block_size, rows // block_size, block_size, columns // block_size)
    grid = mat.reshape(mat.shape[:-2] + sizes)
    return grid.diagonal(dim1=-4, dim2=-2).movedim(-1, -3)


def broadcast_tensors_without_dim(tensors: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Return tensors broadcast to each other in all dimensions but one.

    Args:
        tensors: Of any number of dimensions.
        dim: The dimension, counted from the right, in which they keep their sizes.

    Raises:
        ShapeError: If ``dim`` is not negative, or the other dimensions do not fit.
    """
    if dim >= 0:
        raise ShapeError(f"broadcast_tensors_without_dim: expected a negative dim, got {dim}")
    if len({x.shape[:dim] + (x.shape[dim:][1:]) for x in tensors}) == 1:
        return list(tensors)  # almost always
    ones = (1,) * -dim
    padded = [x.reshape(ones[: max(-dim - x.dim(), 0)] + x.shape) for x in tensors]
    left = broadcast_shape(*(x.shape[: x.dim() + dim] for x in padded))
    right = broadcast_shape(*(x.shape[x.dim() + dim + 1 :] for x in padded))
    return [x.expand(left + (x.shape[dim],) + right) for x in padded]


def safe_normalize(x: Tensor, *, p: float = 2) -> Tensor:
    """Return vectors scaled to unit length; a zero vector becomes the first unit vector.

    Args:
        x: Shape ``(*batch, n)``.
        p: Of the norm.
    """
    norm = torch.linalg.vector_norm(x, p, dim=-1, keepdim=True)
    is_zero = norm == 0
    first = (torch.arange(x.shape[-1], device=x.device) == 0).to(x)
    return torch.where(is_zero, first, x / torch.where(is_zero, 1.0, norm))
