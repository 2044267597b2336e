"""Products of long sequences in logarithmic depth.

An associative operation may be bracketed at will: neighbours are combined in pairs, the results
again in pairs, so that a sequence of length T takes log2(T) batched operations instead of T small
ones (Blelloch 1990; Särkkä and García-Fernández 2019 for filters).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .batched import Batched
from .matrices import broadcast_tensors_without_dim

FEW = 64  # elements among which the leftovers of odd lengths are put: earlier costs copies


class Sequence(NamedTuple):
    """A sequence of elements, each made of several tensors.

    Attributes:
        tensors: Each with a dimension of time, of size 1 if all elements share it: what is done to
            it is then done once.
        event_dims: For each tensor, the number of dimensions to the right of time.
    """

    tensors: tuple[Tensor, ...]
    event_dims: tuple[int, ...]

    @property
    def length(self) -> int:
        """Number of elements."""
        return max(x.shape[-1 - n] for x, n in zip(*self, strict=True))

    def every(self, start: int, stop: int, step: int = 1) -> tuple[Tensor, ...]:
        """Return the tensors of elements ``start:stop:step``."""
        rows = slice(start, stop, step)
        return tuple(
            x if x.shape[-1 - n] == 1 else x[(..., rows) + (slice(None),) * n]
            for x, n in zip(*self, strict=True)
        )

    def neighbours(self) -> tuple[tuple[Tensor, ...], ...]:
        """Return elements 0, 2, 4, ... and 1, 3, 5, ..., as many of the one as of the other."""
        count = self.length // 2
        return tuple(
            zip(*(_pairs(x, -1 - n, count) for x, n in zip(*self, strict=True)), strict=True)
        )

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Sequence:
        """Return another sequence of elements of the same kind."""
        return Sequence(tensors, self.event_dims)

    def joined(self, others: list[tuple[Tensor, ...]]) -> Sequence:
        """Return this sequence with others of such elements after it."""
        pieces = [self, *map(self.with_tensors, others)]
        columns = zip(*(piece.unshared() for piece in pieces), strict=True)
        return self.with_tensors(tuple(map(_concatenate, columns, self.event_dims)))

    def unshared(self) -> tuple[Tensor, ...]:
        """Return the tensors, all with the full dimension of time."""
        length = self.length
        return tuple(
            x
            if x.shape[-1 - n] == length
            else x.expand(*x.shape[: -1 - n], length, *x.shape[x.dim() - n :])
            for x, n in zip(*self, strict=True)
        )


def along_time(elements: Batched) -> Sequence:
    """Return records as a sequence, their rightmost batch dimension being time."""
    parts = zip(elements.tensors, elements.event_dims, strict=True)
    tensors = tuple(x if x.dim() > n else x.unsqueeze(0) for x, n in parts)
    return Sequence(tensors, elements.event_dims)


Combine = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]


def associative_reduce(combine: Combine, elements: Sequence, until: int = 1) -> tuple[Tensor, ...]:
    """Return the product of all elements, from left to right.

    Args:
        combine: The associative operation, on sequences of left and of right operands.
        elements: At least one.
        until: How many elements, not more than ``FEW``, are few enough to be returned.

    Returns:
        The tensors of a sequence of at most ``until`` elements that has the same product; those of
        the product itself, with time of size 1, unless ``until`` is given.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        >>> associative_reduce(lambda a, b: (a[0] * b[0],), Sequence((x,), (0,)))
        (tensor([120.]),)
    """
    leftovers: list[tuple[Tensor, ...]] = []
    length = elements.length
    while length > until:
        if length % 2:
            leftovers.insert(0, elements.every(length - 1, length))
        product = combine(*elements.neighbours())
        elements, length = elements.with_tensors(product), length // 2
        if leftovers and length <= FEW:
            elements = elements.joined(leftovers)
            leftovers, length = [], length + len(leftovers)
    return elements.tensors


def associative_scan(combine: Combine, elements: Sequence) -> tuple[Tensor, ...]:
    """Return the products of the first element, the first two, the first three, and so on.

    Args:
        combine: The associative operation, on sequences of left and of right operands.
        elements: At least one.

    Returns:
        The tensors of the products, along time.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        >>> associative_scan(lambda a, b: (a[0] * b[0],), Sequence((x,), (0,)))
        (tensor([  1.,   2.,   6.,  24., 120.]),)
    """
    length = elements.length
    if length == 1:
        return elements.tensors
    pairs = combine(*elements.neighbours())
    ends = elements.with_tensors(associative_scan(combine, elements.with_tensors(pairs)))
    starts = elements.with_tensors(elements.every(0, 1))
    if length > 2:
        before = ends.every(0, (length - 1) // 2)
        starts = starts.joined([combine(before, elements.every(2, length, 2))])
    return tuple(map(_interleave, starts.unshared(), ends.unshared(), elements.event_dims))


def linear_recurrence(matrix: Tensor, offset: Tensor) -> Tensor:
    """Return the states ``z_t = z_{t-1} @ matrix_t + offset_t`` that start from zero.

    Args:
        matrix: Shape ``(*batch, time, n, n)``, or with time of size 1; the first has no effect.
        offset: Shape ``(*batch, time, n)``.

    Returns:
        States, shape ``(*batch, time, n)``.

    Example:
        >>> linear_recurrence(torch.full((1, 1, 1), 0.5), torch.ones(4, 1)).squeeze(-1)
        tensor([1.0000, 1.5000, 1.7500, 1.8750])
    """
    return associative_scan(_then, Sequence((matrix, offset), (2, 1)))[1]


def _then(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Compose two affine maps of row vectors."""
    (a, b), (c, d) = first, second
    return a @ c, (b.unsqueeze(-2) @ c).squeeze(-2) + d


def _pairs(x: Tensor, dim: int, count: int) -> tuple[Tensor, ...]:
    """Return elements 0, 2, 4, ... and 1, 3, 5, ..., ``count`` of each."""
    if x.shape[dim] == 1:
        return x, x
    even = x if x.shape[dim] == 2 * count else x.narrow(dim, 0, 2 * count)
    dim += x.dim()
    return even.reshape(*x.shape[:dim], count, 2, *x.shape[dim + 1 :]).unbind(dim + 1)


def _concatenate(pieces: tuple[Tensor, ...], event_dim: int) -> Tensor:
    return torch.cat(broadcast_tensors_without_dim(pieces, -1 - event_dim), -1 - event_dim)


def _interleave(evens: Tensor, odds: Tensor, event_dim: int) -> Tensor:
    """Return elements 0, 2, 4, ... and 1, 3, ... in order."""
    dim = -1 - event_dim
    evens, odds = broadcast_tensors_without_dim([evens, odds], dim)
    count = odds.shape[dim]
    pairs = torch.stack([evens.narrow(dim, 0, count), odds], dim).flatten(dim - 1, dim)
    rest = evens.shape[dim] - count
    return torch.cat([pairs, evens.narrow(dim, count, rest)], dim) if rest else pairs
