"""Exact sums of products over factor graphs with plates, factor by factor or by an equation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set

from torch import Tensor

from .elimination import Ordinal, TensorTree, eliminate, marginal
from .packed import sizes_of
from .plated_einsum import einsum as einsum
from .plated_einsum import ubersum as ubersum
from .rings import BACKEND_TO_RING as BACKEND_TO_RING
from .rings import Cache, LogRing, Ring
from .unrolled_einsum import naive_ubersum as naive_ubersum


def contract_tensor_tree(
    tensor_tree: TensorTree,
    sum_dims: Set[str],
    cache: Cache | None = None,
    ring: Ring | None = None,
) -> OrderedDict[Ordinal, list[Tensor]]:
    """Return the factors after summing out variables, each still in as many plates as possible.

    A plate is multiplied out where that is needed to sum out a variable, and kept elsewhere.

    Args:
        tensor_tree: Packed factors by ordinal, the set of the symbols of their plates.
        sum_dims: Symbols of the variables to sum out.
        cache: Shared by contractions of the same factors, to do the same work only once.
        ring: The arithmetic; by default :class:`~ppl.ops.rings.LogRing`, log densities in nats.

    Returns:
        The factors that are left, by ordinal.

    Raises:
        IntractableError: If the cost would be exponential in the size of a plate.
        ShapeError: If a symbol has two sizes.

    Example:
        >>> import torch
        >>> from ppl.ops.packed import pack
        >>> prior = pack(torch.tensor([0.5, 0.5]).log(), {-1: "a"})
        >>> likelihood = pack(torch.tensor([[0.1, 0.3], [0.2, 0.2]]).log(), {-1: "i", -2: "a"})
        >>> tree = {frozenset(): [prior], frozenset("i"): [likelihood]}
        >>> [[term]] = contract_tensor_tree(tree, {"a"}).values()
        >>> term.exp()  # (0.1 * 0.3 + 0.2 * 0.2) / 2
        tensor(0.0350)
    """
    ring = _sized(LogRing(cache) if ring is None else ring, tensor_tree)
    everywhere = Ordinal().union(*tensor_tree)
    result: OrderedDict[Ordinal, list[Tensor]] = OrderedDict()
    for ordinal, term in eliminate(tensor_tree, sum_dims, everywhere, ring):
        result.setdefault(ordinal, []).append(term)
    return result


def contract_to_tensor(
    tensor_tree: TensorTree,
    sum_dims: Set[str],
    target_ordinal: Ordinal | None = None,
    target_dims: Set[str] | None = None,
    cache: Cache | None = None,
    ring: Ring | None = None,
) -> Tensor:
    """Return one factor, after summing out variables and multiplying out plates.

    For each slice of the target plates it is the product of all factors that belong to the slice or
    that depend on one of its variables; factors that belong to other slices alone are left out, as
    they do for the target no more than scale it.

    Args:
        tensor_tree: Packed factors by ordinal, the set of the symbols of their plates.
        sum_dims: Symbols of the variables to sum out.
        target_ordinal: Symbols of the plates to keep; none by default.
        target_dims: Symbols of the variables to keep, even if they are in ``sum_dims``.
        cache: Shared by contractions of the same factors, to do the same work only once.
        ring: The arithmetic; by default :class:`~ppl.ops.rings.LogRing`, log densities in nats.

    Returns:
        A packed tensor with the target plates and variables, in any order.

    Raises:
        IntractableError: If the cost would be exponential in the size of a plate.
        ShapeError: If a symbol has two sizes, or a target variable is in a plate that is no target.
    """
    ring = _sized(LogRing(cache) if ring is None else ring, tensor_tree)
    ordinal, dims = target_ordinal or Ordinal(), target_dims or frozenset()
    return marginal(tensor_tree, sum_dims, ordinal, dims, resting=ordinal, ring=ring)


def _sized(ring: Ring, tensor_tree: TensorTree) -> Ring:
    ring.dim_to_size |= sizes_of(tensor for tensors in tensor_tree.values() for tensor in tensors)
    return ring
