"""Expectations of costs over the sites of a guide, enumerated and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import IntractableError
from ppl.infer.enumerated_sites import weight_of
from ppl.infer.enumeration import Factor, factor_of, naming, tree_of, variable_of
from ppl.ops.contract import contract_to_tensor
from ppl.ops.packed import align, dims_of, with_dims
from ppl.ops.rings import Cache, LogRing

from .enum_costs import Cost, is_sequential


class _Weight(NamedTuple):
    """What a site of the guide multiplies the costs with that depend on it.

    ``variable`` is its symbol, if a sum over its values is to be taken; None if it was drawn.
    """

    factor: Factor
    variable: str | None
    position: int
    is_sequential: bool

    def is_drawn_before(self, depth: int) -> bool:
        """Return whether it was drawn, and is one of the first ``depth`` sites."""
        return self.variable is None and self.position <= depth


class GuideExpectation:
    """Weights costs by the probabilities of the values of a guide that they depend on.

    An enumerated site has a probability for each of its values. A site that was drawn has the
    weight one, with the gradient of its log density where that is no pathwise one (Foerster et al.
    2018, "DiCE: the infinitely differentiable Monte Carlo estimator"). A cost gets the product of
    the weights that it may depend on, summed over enumerated sites that it does not; slices of
    plates that it is in have weights of their own.

    Args:
        guide_trace: An execution of the guide, enumerated, scored and packed.
        sizes: The sizes of the plates, by symbol.
    """

    def __init__(self, guide_trace: poutine.Trace, sizes: dict[str, int]) -> None:
        sites = [name for name, site in guide_trace.nodes.items() if site["type"] == "sample"]
        weights = [_weight(guide_trace, name, i) for i, name in enumerate(sites, 1)]
        self._weights = [weight for weight in weights if weight is not None]
        self._sizes = sizes
        self._cache: Cache = {}
        self._known: dict[tuple[frozenset[str], ...], Tensor] = {}

    def of(self, costs: Iterable[Cost]) -> Tensor | float:
        """Return the expectation of a sum of costs, shape ``()``, in nats."""
        return sum(self._of(cost) for cost in costs)

    def _of(self, cost: Cost) -> Tensor:
        dims = frozenset(dims_of(cost.value)) - cost.plates
        chosen = self._relevant(cost, dims)
        if not chosen:
            return cost.value.sum()
        weight = self._joint(chosen, cost.plates, dims)
        symbols = "".join({*dims_of(weight), *dims_of(cost.value)})
        probs, value = align(weight, symbols).exp(), align(cost.value, symbols)
        return (probs * torch.where(probs > 0, value, 0.0)).sum()  # 0 * inf would be nan

    def _relevant(self, cost: Cost, dims: frozenset[str]) -> list[_Weight]:
        """Return the weights of what is drawn, and of the enumerated sites that these or the cost
        depend on; the probabilities of all others sum to one.
        """
        chosen = [w for w in self._weights if w.is_sequential or w.is_drawn_before(cost.depth)]
        causes = self._causes(dims.union(*(weight.factor.variables for weight in chosen)))
        return [*chosen, *causes]

    def _joint(self, chosen: list[_Weight], plates: frozenset[str], dims: frozenset[str]) -> Tensor:
        """Return the product of weights, for each slice of plates and value of variables."""
        key = (frozenset(weight.factor.name for weight in chosen), plates, dims)
        if key not in self._known:
            factors = [self._within(weight, plates) for weight in chosen]
            self._known[key] = self._contract(factors, plates, dims)
        return self._known[key]

    def _within(self, weight: _Weight, plates: frozenset[str]) -> Factor:
        """Return a weight for a cost in other plates.

        All slices of a plate have the same value of a sequentially enumerated site in turn. What is
        outside of the plate does not depend on it and must be counted once: it gets the average
        probability of the slices.
        """
        factor = weight.factor
        outside = factor.plates - plates
        if not weight.is_sequential or not outside:
            return factor
        causes = [w.factor for w in self._causes(factor.variables)]
        _check_slices(factor, causes)
        slices = self._contract([factor, *causes], factor.plates, frozenset())
        kept, others = (
            "".join(symbol for symbol in dims_of(slices) if (symbol in outside) is wanted)
            for wanted in (False, True)
        )
        table = align(slices, kept + others).unsqueeze(-1).flatten(len(kept))
        mean = with_dims(table.logsumexp(-1) - math.log(table.shape[-1]), kept)
        return Factor(factor.name, mean, factor.scale, factor.plates & plates, frozenset())

    def _causes(self, variables: frozenset[str]) -> Iterator[_Weight]:
        """Iterate over the weights of variables, and of those that these depend on."""
        needed = set(variables)
        for weight in reversed(self._weights):
            if weight.variable in needed:
                needed |= weight.factor.variables
                yield weight

    def _contract(
        self, factors: list[Factor], plates: frozenset[str], dims: frozenset[str]
    ) -> Tensor:
        variables = frozenset().union(*(factor.variables for factor in factors))
        ring = LogRing(self._cache, self._sizes)
        with naming(factors):
            return contract_to_tensor(tree_of(factors), variables - dims, plates, dims, ring=ring)


def _weight(trace: poutine.Trace, name: str, position: int) -> _Weight | None:
    site = trace.nodes[name]
    packed, variable = site["packed"], variable_of(site)
    if variable is not None:
        factor = weight_of(trace, name)
        is_one = variable not in dims_of(factor.log_prob)  # value, and so it has no dimension
        return _Weight(factor, None if is_one else variable, position, False)
    if is_sequential(site):
        return _Weight(factor_of(trace, name, packed["unscaled_log_prob"]), None, position, True)
    score = packed["score_parts"].score_function
    if site["is_observed"] or not isinstance(score, Tensor):
        return None
    one = with_dims(score - score.detach(), dims_of(score))
    return _Weight(factor_of(trace, name, one), None, position, False)


def _check_slices(factor: Factor, causes: list[Factor]) -> None:
    """Refuse slices that depend on each other, of which only equal values would be summed."""
    for cause in causes:
        if not factor.plates <= cause.plates:
            raise IntractableError(
                f"site {factor.name!r} is enumerated sequentially, in a plate, and depends on "
                f"{cause.name!r}, which is enumerated in parallel outside of it: the values of the "
                f"slices would need all combinations; enumerate {factor.name!r} in parallel too",
                site=factor.name,
            )
