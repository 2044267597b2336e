"""Variable elimination in trees of plates.

Message passing of Obermeyer, Bingham, Jankowiak, Pradhan, Chiu, Rush, Goodman (2019), "Tensor
variable elimination for plated factor graphs", ICML, algorithm 1. Factors are packed tensors; a
factor's *ordinal* is the set of plates that it is in, and a variable is in those plates that all
its factors are in. From the deepest plates upwards, the variables of a set of plates are summed
out of each connected component of factors, and the resulting message is multiplied along the plates
that none of its other variables is in.

To keep a variable at every slice of its plates, two messages are sent where the paper sends one:
that of all slices, and that to the slice in question, whose own part is kept and multiplied by the
messages of all other slices. No message is ever divided by another, so factors may be zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ppl.errors import IntractableError, ShapeError

from .packed import dims_of
from .rings import Ring

Ordinal = frozenset[str]
TensorTree = Mapping[Ordinal, Sequence[Tensor]]


class Term(NamedTuple):
    """A factor or message during elimination."""

    everywhere: Tensor  # at every slice of its plates
    here: Tensor  # at the slice of the target plates, with the target variables kept

    @property
    def is_targeted(self) -> bool:
        """Whether it depends on a target variable."""
        return self.here is not self.everywhere


@dataclass(frozen=True)
class Elimination:
    """Tensor variable elimination.

    Args:
        ring: The arithmetic.
        plates_of: The variables to sum out or to keep, with their plates.
        target_dims: The variables to keep.
        resting: The plates along which a message without variables is not multiplied.
    """

    ring: Ring
    plates_of: Mapping[str, Ordinal]
    target_dims: Set[str]
    resting: Ordinal

    def run(self, tensor_tree: TensorTree) -> Iterator[tuple[Ordinal, Tensor]]:
        """Yield the messages without variables to eliminate, each with the plates it rests in."""
        pending = {
            ordinal: [Term(tensor, tensor) for tensor in tensors]
            for ordinal, tensors in tensor_tree.items()
        }
        while pending:
            leaf = max(pending, key=len)
            own = {dim for dim, plates in self.plates_of.items() if plates == leaf}
            for terms in _components(pending.pop(leaf), own):
                variables = self._variables(terms) - own
                parent = self._parent(leaf, variables)
                message = self._message(terms, own, leaf - parent)
                if variables:
                    pending.setdefault(parent, []).append(message)
                else:
                    yield parent, message.here

    def _variables(self, terms: Iterable[Term]) -> set[str]:
        dims = {dim for term in terms for dim in dims_of(term.everywhere)}
        return dims & self.plates_of.keys()

    def _parent(self, leaf: Ordinal, variables: Set[str]) -> Ordinal:
        """Return the plates of a message that depends on ``variables``."""
        if not variables:
            return leaf & self.resting
        parent = Ordinal().union(*(self.plates_of[dim] for dim in variables))
        if parent == leaf:
            raise IntractableError(
                f"the variables {sorted(variables)} are in different plates of {sorted(leaf)} but "
                "meet in a factor that is in all of them: an exact sum is exponential in the size "
                "of a plate; make one of the plates sequential, or enumerate fewer variables"
            )
        return parent

    def _message(self, terms: Sequence[Term], own: Set[str], reduced: Ordinal) -> Term:
        """Return the product of the terms without their own variables, along the reduced plates."""
        ring = self.ring
        here = ring.sumproduct([term.here for term in terms], own - self.target_dims)
        if not reduced:
            return Term(here, here)
        if own.isdisjoint(self.target_dims) and not any(term.is_targeted for term in terms):
            product = ring.product(here, reduced)
            return Term(product, product)
        everywhere = ring.sumproduct([term.everywhere for term in terms], own)
        others = ring.leave_one_out(everywhere, reduced)
        return Term(ring.product(everywhere, reduced), ring.sumproduct([here, others]))


def eliminate(
    tensor_tree: TensorTree, sum_dims: Set[str], resting: Ordinal, ring: Ring
) -> Iterator[tuple[Ordinal, Tensor]]:
    """Yield factors without the variables ``sum_dims``, each with the plates it is in.

    Args:
        tensor_tree: Packed factors by ordinal.
        sum_dims: The variables to sum out.
        resting: The plates that a factor stays in if it depends on no other variable.
        ring: The arithmetic.
    """
    plates_of = _plates_of(tensor_tree, sum_dims)
    return Elimination(ring, plates_of, frozenset(), resting).run(tensor_tree)


def marginal(
    tensor_tree: TensorTree,
    sum_dims: Set[str],
    target_ordinal: Ordinal,
    target_dims: Set[str],
    resting: Ordinal,
    ring: Ring,
) -> Tensor:
    """Return the product of all factors without the variables ``sum_dims`` but ``target_dims``.

    Args:
        tensor_tree: Packed factors by ordinal.
        sum_dims: The variables to sum out.
        target_ordinal: The plates to keep.
        target_dims: The variables to keep.
        resting: Plates whose slices are not multiplied if they depend on no other variable.
        ring: The arithmetic.

    Raises:
        ShapeError: If a target variable is in a plate that is no target.
    """
    plates_of = _plates_of(tensor_tree, sum_dims | target_dims)
    for dim in sorted(target_dims):
        missing = plates_of.get(dim, Ordinal()) - target_ordinal
        if missing:
            raise ShapeError(
                f"variable {dim!r} is in the plates {sorted(missing)}, but the target has only "
                f"{sorted(target_ordinal)}; a variable is kept with all of its plates or not at all"
            )
    elimination = Elimination(ring, plates_of, target_dims, resting)
    messages = [message for _, message in elimination.run(tensor_tree)]
    return ring.broadcast(ring.sumproduct(messages), target_ordinal)


def _plates_of(tensor_tree: TensorTree, variables: Set[str]) -> dict[str, Ordinal]:
    """Return the plates of each variable: those that all of its factors are in."""
    plates: dict[str, Ordinal] = {}
    for ordinal, tensors in tensor_tree.items():
        for dim in (dim for tensor in tensors for dim in dims_of(tensor) if dim in variables):
            plates[dim] = plates.get(dim, ordinal) & ordinal
    return plates


def _components(terms: Sequence[Term], variables: Set[str]) -> Iterator[list[Term]]:
    """Yield the terms in groups that share none of the variables."""
    dims = [variables & set(dims_of(term.everywhere)) for term in terms]
    users: dict[str, list[int]] = {}
    for number, own in enumerate(dims):
        for dim in own:
            users.setdefault(dim, []).append(number)
    remaining = dict.fromkeys(range(len(terms)))
    while remaining:
        group, frontier = set[int](), [next(iter(remaining))]
        while frontier:
            number = frontier.pop()
            if number in remaining:
                del remaining[number]
                group.add(number)
                frontier += [user for dim in dims[number] for user in users.pop(dim, [])]
        yield [terms[number] for number in sorted(group)]
