"""Einsum over plates by definition: every slice of every plate is written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import opt_einsum
import torch
from torch import Tensor

from .packed import align, dims_of, sizes_of, with_dims
from .plated_equation import PlatedEquation
from .rings import BACKEND_TO_RING, Ring

Index = Mapping[str, int]  # of a plate


def naive_ubersum(
    equation: str,
    *operands: Tensor,
    plates: str = "",
    backend: str = "ppl.ops.einsum.torch_log",
) -> tuple[Tensor, ...]:
    """Return what :func:`~ppl.ops.contract.einsum` returns, at exponential cost.

    Each variable becomes one variable for each slice of its plates, each factor one factor; then
    the plates are gone. This is the definition that faster algorithms are tested against.

    Args:
        equation: As of ``einsum``.
        operands: As of ``einsum``.
        plates: As of ``einsum``.
        backend: As of ``einsum``.
    """
    problem = PlatedEquation.parse(equation, plates)
    factors = problem.factors(operands)
    unrolled = _Unrolled(problem, sizes_of(factors))
    terms = [part for factor in factors for part in unrolled.slices(factor)]
    ring = BACKEND_TO_RING[backend]()
    return tuple(unrolled.marginal(terms, output, ring) for output in problem.outputs)


class _Unrolled:
    """A factor graph whose plates are written out; a variable and its slices are one symbol."""

    def __init__(self, problem: PlatedEquation, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.plates = problem.plates
        self.plates_of = {
            dim: "".join(
                sorted(problem.plates.intersection(*(x for x in problem.inputs if dim in x)))
            )
            for dim in problem.variables
        }
        self.names: dict[tuple[str, tuple[int, ...]], str] = {}

    def slices(self, factor: Tensor) -> Iterator[Tensor]:
        """Yield a factor without plates for each slice of a factor."""
        plates, variables = self._split(dims_of(factor))
        aligned = align(factor, plates + variables)
        for index in self._indices(plates):
            part = aligned[tuple(index.values())]
            yield with_dims(part, self._rename(variables, index))

    def marginal(self, terms: list[Tensor], output: str, ring: Ring) -> Tensor:
        """Return the product of the terms, with a slice for each slice of the output."""
        plates, variables = self._split(output)
        symbols = {symbol for term in terms for symbol in dims_of(term)}
        parts = []
        for index in self._indices(plates):
            kept = self._rename(variables, index)
            parts.append(align(ring.sumproduct(terms, symbols - set(kept)), kept))
        shape = [self.sizes[dim] for dim in plates + variables]
        return align(with_dims(torch.stack(parts).reshape(shape), plates + variables), output)

    def _split(self, dims: str) -> tuple[str, str]:
        plates = "".join(dim for dim in dims if dim in self.plates)
        return plates, "".join(dim for dim in dims if dim not in self.plates)

    def _indices(self, plates: str) -> Iterator[Index]:
        for index in product(*(range(self.sizes[plate]) for plate in plates)):
            yield dict(zip(plates, index, strict=True))

    def _rename(self, variables: str, index: Index) -> str:
        copies = [(dim, tuple(index[plate] for plate in self.plates_of[dim])) for dim in variables]
        return "".join(
            self.names.setdefault(copy, opt_einsum.get_symbol(len(self.names))) for copy in copies
        )
