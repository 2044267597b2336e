"""Equations of factor graphs with plates, such as ``"a,ai->a"`` with the plate ``i``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ppl.errors import ShapeError

from .packed import dims_of, with_dims


@dataclass(frozen=True)
class PlatedEquation:
    """An equation with one output or more, and the symbols of its plates."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    plates: frozenset[str]

    @classmethod
    def parse(cls, equation: str, plates: str) -> PlatedEquation:
        """Return the parts of an equation.

        Raises:
            ShapeError: If an output has a symbol that no input has, or a term has one twice.
        """
        left, right = equation.split("->")
        inputs, outputs = tuple(left.split(",")), tuple(right.split(","))
        unknown = set(right) - set(left) - {","}
        if unknown or any(len(set(term)) < len(term) for term in inputs + outputs):
            raise ShapeError(
                f"equation {equation!r} must have each symbol once in a term and only symbols of "
                f"inputs in the outputs; unknown: {sorted(unknown)}"
            )
        return cls(inputs, outputs, frozenset(plates))

    @property
    def variables(self) -> frozenset[str]:
        """The symbols that are no plates."""
        return frozenset("".join(self.inputs)) - self.plates

    def factors(self, operands: Sequence[Tensor]) -> list[Tensor]:
        """Return the operands as packed tensors.

        Raises:
            ShapeError: If there are more or fewer operands, or dimensions of one, than symbols.
        """
        shapes = [tuple(operand.shape) for operand in operands]
        if [len(shape) for shape in shapes] != [len(term) for term in self.inputs]:
            raise ShapeError(
                f"the inputs {list(self.inputs)} do not fit tensors of shapes {shapes}"
            )
        return [with_dims(x, dims) for x, dims in zip(operands, self.inputs, strict=True)]

    def tree(self, factors: Sequence[Tensor]) -> dict[frozenset[str], list[Tensor]]:
        """Return the factors by the plates that they are in."""
        tree: dict[frozenset[str], list[Tensor]] = {}
        for factor in factors:
            tree.setdefault(self.plates.intersection(dims_of(factor)), []).append(factor)
        return tree
