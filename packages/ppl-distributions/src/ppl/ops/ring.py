"""What a contraction of packed tensors asks of its arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, MutableMapping, Sequence, Set
from functools import lru_cache
from typing import Any

import opt_einsum
from torch import Tensor
from torch.nn.functional import pad

from .packed import align, dims_of, sizes_of, with_dims

Cache = MutableMapping[Hashable, Any]


class Ring(ABC):
    """The arithmetic of a contraction.

    Args:
        cache: Where results of :meth:`sumproduct` are kept, to be shared with other contractions of
            the same tensors; any empty dictionary will do.
        dim_to_size: Sizes of plates; one that is not there and in no term has size one.
    """

    one: float
    """What changes nothing as a factor."""

    def __init__(
        self, cache: Cache | None = None, dim_to_size: Mapping[str, int] | None = None
    ) -> None:
        self.cache: Cache = {} if cache is None else cache
        self.dim_to_size: dict[str, int] = dict(dim_to_size or {})

    @abstractmethod
    def einsum(self, equation: str, *operands: Tensor) -> Tensor:
        """Return the contraction of tensors whose symbols stand in the equation."""

    @abstractmethod
    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the product of two tensors that broadcast."""

    @abstractmethod
    def power(self, x: Tensor, exponent: int) -> Tensor:
        """Return the product of so many equal factors."""

    @abstractmethod
    def multiply(self, x: Tensor, dim: int) -> Tensor:
        """Return the product along a dimension, which is lost."""

    @abstractmethod
    def accumulate(self, x: Tensor) -> Tensor:
        """Return the running products along the last dimension."""

    def sumproduct(self, terms: Sequence[Tensor], dims: Set[str] = frozenset()) -> Tensor:
        """Return the product of the terms, summed over the variables ``dims``.

        The cheapest order is sought by ``opt_einsum``.
        """
        names = tuple(map(dims_of, terms))
        if len(terms) == 1 and dims.isdisjoint(names[0]):
            return terms[0]
        kept = frozenset("".join(names)) - dims
        stack = list(terms)
        for positions in _path(names, kept, tuple(sizes_of(terms).items())):
            chosen = [stack.pop(position) for position in sorted(positions, reverse=True)]
            stack.append(self._contract(chosen, kept.union(*map(dims_of, stack))))
        return stack[0]

    def product(self, term: Tensor, ordinal: Set[str]) -> Tensor:
        """Return the product of the slices of ``term`` along the plates ``ordinal``."""
        plates = "".join(sorted(ordinal))
        return self._once(f"product {plates}", [term], lambda: self._product(term, plates))

    def leave_one_out(self, term: Tensor, ordinal: Set[str]) -> Tensor:
        """Return for each slice along the plates ``ordinal`` the product of all others.

        It is the product of what comes before and what comes after, not a quotient: a slice may be
        zero.
        """
        plates = "".join(sorted(ordinal))
        return self._once(f"others {plates}", [term], lambda: self._others(term, plates))

    def broadcast(self, term: Tensor, ordinal: Iterable[str]) -> Tensor:
        """Return ``term`` expanded to have the plates ``ordinal``."""
        missing = "".join(sorted(set(ordinal) - set(dims_of(term))))
        shape = [self.dim_to_size.get(plate, 1) for plate in missing]
        return with_dims(term.expand([*shape, *term.shape]), missing + dims_of(term))

    def _product(self, term: Tensor, plates: str) -> Tensor:
        for plate in plates:
            dims = dims_of(term)
            if plate in dims:
                product = self.multiply(term, dims.index(plate))
            else:
                product = self.power(term, self.dim_to_size.get(plate, 1))
            term = with_dims(product, dims.replace(plate, ""))
        return term

    def _others(self, term: Tensor, plates: str) -> Tensor:
        rest = "".join(symbol for symbol in dims_of(term) if symbol not in plates)
        slices = align(self.broadcast(term, plates), rest + plates)
        flat = slices.flatten(len(rest))
        before = self._products_before(flat)
        after = self._products_before(flat.flip(-1)).flip(-1)
        return with_dims(self.times(before, after).reshape(slices.shape), rest + plates)

    def _products_before(self, flat: Tensor) -> Tensor:
        return pad(self.accumulate(flat)[..., :-1], (1, 0), value=self.one)

    def _contract(self, terms: Sequence[Tensor], kept: Set[str]) -> Tensor:
        inputs = ",".join(map(dims_of, terms))
        output = "".join(symbol for symbol in dict.fromkeys(inputs) if symbol in kept)
        equation = f"{inputs}->{output}"
        return self._once(equation, terms, lambda: with_dims(self.einsum(equation, *terms), output))

    def _once(self, name: str, terms: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """Return the cached result of an operation on the terms, or compute it."""
        key = (type(self), name, *map(id, terms))
        if key not in self.cache:  # the terms are kept as well, lest their ids be used again
            self.cache[key] = (compute(), terms)
        result: Tensor = self.cache[key][0]
        return result


@lru_cache(maxsize=4096)
def _path(
    names: tuple[str, ...], kept: frozenset[str], sizes: tuple[tuple[str, int], ...]
) -> Sequence[tuple[int, ...]]:
    """Return the positions of the terms to contract at each step; the result goes to the end."""
    if len(names) == 1:
        return [(0,)]
    path: Sequence[tuple[int, ...]] = opt_einsum.paths.auto(
        [frozenset(name) for name in names], kept, dict(sizes)
    )
    return path
