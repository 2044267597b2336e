"""Rings that assign values to the variables that were summed out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import torch
from torch import Tensor

from .arithmetic import LogRing
from .einsum import torch_map
from .packed import align, dims_of, gather, sizes_of, with_dims
from .ring import Cache


class Elimination(NamedTuple):
    """One step of a contraction: variables summed out of a product of terms."""

    terms: tuple[Tensor, ...]
    dims: str


class ChoiceRing(LogRing):
    """A ring that assigns values to the variables after they have been summed out.

    Each contraction needs a ring of its own, and nothing is taken from a cache.

    Example:
        >>> from ppl.ops.packed import pack
        >>> table = pack(torch.tensor([[0.0, 1.0], [3.0, 2.0]]), {-2: "a", -1: "b"})
        >>> ring = MapRing()
        >>> ring.sumproduct([table], {"a", "b"})
        tensor(3.)
        >>> ring.assignment()
        {'b': tensor(0), 'a': tensor(1)}
    """

    def __init__(
        self, cache: Cache | None = None, dim_to_size: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(None, dim_to_size)  # what is not done is not remembered
        self.eliminations: list[Elimination] = []

    @abstractmethod
    def choose(self, logits: Tensor) -> Tensor:
        """Return an index along the last dimension of unnormalized log probabilities."""

    def assignment(self) -> dict[str, Tensor]:
        """Return the index of each variable that was summed out, packed along its plates.

        What was summed last is chosen first: then each choice is made with all that it depends on
        already chosen.
        """
        indices: dict[str, Tensor] = {}
        for terms, dims in reversed(self.eliminations):
            joint = LogRing().sumproduct([_at(term, indices) for term in terms])
            indices.update(self._assign(joint, dims))
        return indices

    def _contract(self, terms: Sequence[Tensor], kept: Set[str]) -> Tensor:
        symbols = dict.fromkeys(symbol for term in terms for symbol in dims_of(term))
        dims = "".join(symbol for symbol in symbols if symbol not in kept)
        if dims:
            self.eliminations.append(Elimination(tuple(terms), dims))
        return super()._contract(terms, kept)

    def _assign(self, joint: Tensor, dims: str) -> dict[str, Tensor]:
        batch = "".join(symbol for symbol in dims_of(joint) if symbol not in dims)
        choice = self.choose(align(joint, batch + dims).flatten(len(batch)))
        sizes, indices = sizes_of([joint]), {}
        for symbol in reversed(dims):
            indices[symbol] = with_dims(choice % sizes[symbol], batch)
            choice = choice // sizes[symbol]
        return indices


class MapRing(ChoiceRing):
    """Maxima in place of sums; assigns the values at the maximum."""

    def einsum(self, equation: str, *operands: Tensor) -> Tensor:
        """Return the contraction of tensors whose symbols stand in the equation."""
        return torch_map.einsum(equation, *operands)

    def choose(self, logits: Tensor) -> Tensor:
        """Return the index of the largest, the first of equal ones."""
        return logits.argmax(-1)


class SampleRing(ChoiceRing):
    """Sums; assigns values drawn from the normalized product of all terms."""

    def choose(self, logits: Tensor) -> Tensor:
        """Return a random index, by a race of exponential waiting times."""
        waiting = torch.empty_like(logits).exponential_()
        return (logits - waiting.log()).argmax(-1)


def _at(term: Tensor, indices: Mapping[str, Tensor]) -> Tensor:
    for symbol in dims_of(term):
        if symbol in indices:
            term = gather(term, indices[symbol], symbol)
    return term
