"""The terms of the ELBO of an enumerated guide and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.infer.enumerated_sites import (
    OutsidePlateError,
    Variables,
    check_plates,
    variables_of,
    weighted_factors,
)
from ppl.infer.enumeration import Factor, factors_of, groups_of, naming, scale_of, tree_of
from ppl.ops.contract import contract_tensor_tree
from ppl.ops.packed import align, dims_of, with_dims


@dataclass(frozen=True)
class Cost:
    """A term of ``log model - log guide``.

    Attributes:
        value: In nats, scaled and masked; packed, with symbols of plates and of enumerated sites of
            the guide.
        plates: The symbols of the plates that it is in.
        depth: How many of the first sites of the guide it may depend on.
    """

    value: Tensor
    plates: frozenset[str]
    depth: int


def model_costs(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Iterator[Cost]:
    """Iterate over the terms of the log density of a model, summed over its own enumerated sites.

    Args:
        model_trace: Of the model, replayed at the guide, enumerated, scored and packed.
        guide_trace: Of the guide, likewise.

    Raises:
        IntractableError: If a sum is exponential in the size of a plate.
        SiteError: If the factors of a sum have different scales.
    """
    given = variables_of(guide_trace)
    own = {s: v for s, v in variables_of(model_trace).items() if s not in given}
    factors = list(weighted_factors(model_trace, own))
    check_plates(factors, {**given, **own})
    depths = _depths(model_trace, guide_trace)
    for factor in factors:
        if factor.variables.isdisjoint(own):
            log_prob = model_trace.nodes[factor.name]["packed"]["log_prob"]
            yield Cost(log_prob, factor.plates, depths[factor.name])
    for group in groups_of((f for f in factors if not f.variables.isdisjoint(own)), own.keys()):
        depth = max(depths[factor.name] for factor in group)
        for plates, value in _summed(group, own, given):
            _check_in_turn(plates, group, guide_trace)
            yield Cost(value, plates, depth)


def _summed(
    group: list[Factor], own: Variables, given: Variables
) -> Iterator[tuple[frozenset[str], Tensor]]:
    """Yield the scaled terms that are left of a group after the sum over the variables ``own``."""
    scale = scale_of(group)
    with naming(group):
        terms = contract_tensor_tree(tree_of(group), own.keys())
    for plates, tensors in terms.items():
        for tensor in tensors:
            _check_not_more_global(tensor, plates, group, own, given)
            yield plates, with_dims(scale * tensor, dims_of(tensor))


def _check_not_more_global(
    tensor: Tensor, plates: frozenset[str], group: list[Factor], own: Variables, given: Variables
) -> None:
    for symbol in dims_of(tensor):
        if symbol in given and not given[symbol].plates <= plates:
            summed = [own[s].name for f in group for s in f.variables if s in own]
            raise OutsidePlateError(
                f"site {given[symbol].name!r} is enumerated in the guide, inside of a plate, and "
                f"sites {sorted(set(summed))} in the model, outside of it: their sum is "
                f"exponential in its size; leave {given[symbol].name!r} out of the guide",
                site=given[symbol].name,
            )


def _check_in_turn(plates: frozenset[str], group: list[Factor], guide_trace: poutine.Trace) -> None:
    """Refuse a sum across the slices of a plate in which the guide enumerates sequentially."""
    crossed = frozenset().union(*(factor.plates for factor in group)) - plates
    for factor in factors_of(guide_trace):
        if is_sequential(guide_trace.nodes[factor.name]) and factor.plates & crossed:
            names = [f.name for f in group]
            raise OutsidePlateError(
                f"site {factor.name!r} is enumerated sequentially in the guide, inside of a plate, "
                f"and the sum over sites of the model goes across the plate, by {names}: that is "
                f"exponential in its size if they depend on {factor.name!r}; enumerate it in "
                "parallel if not, else in the model, by leaving it out of the guide",
                site=factor.name,
            )


def _depths(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> dict[str, int]:
    """Return for each site of the model after how many sites of the guide its inputs are known."""
    positions = {name: i for i, name in enumerate(_samples(guide_trace), 1)}
    depths, depth = {}, 0
    for name in _samples(model_trace):
        depth = max(depth, positions.get(name, 0))
        depths[name] = depth
    return depths


def guide_costs(guide_trace: poutine.Trace) -> Iterator[Cost]:
    """Iterate over the terms of minus the log density of a guide."""
    names = _samples(guide_trace)
    factors = {f.name: f for f in weighted_factors(guide_trace, {})}
    check_plates(factors.values(), variables_of(guide_trace))
    for position, name in enumerate(names, 1):
        yield Cost(_entropy(guide_trace.nodes[name]), factors[name].plates, position)


def _entropy(site: Mapping[str, Any]) -> Tensor:
    """Return minus the log density, without the gradient whose expectation is zero."""
    log_prob, _, entropy_term = site["packed"]["score_parts"]
    dims = dims_of(log_prob)
    if site["is_observed"] or is_summed(site):
        return with_dims(-log_prob, dims)
    if not isinstance(entropy_term, Tensor):
        return with_dims(-log_prob.detach(), dims)
    entropy_term = align(entropy_term, dims)
    return with_dims(-(entropy_term + (log_prob - entropy_term).detach()), dims)


def is_summed(site: Mapping[str, Any]) -> bool:
    """Return whether a site of a trace has all values of its support, together or in turn."""
    infer = site["infer"]
    is_parallel = infer.get("_enumerate_dim") is not None and infer.get("num_samples") is None
    return is_parallel or is_sequential(site)


def is_sequential(site: Mapping[str, Any]) -> bool:
    """Return whether a site of a trace has the values of its support in turn."""
    return site["infer"].get("enumerate") == "sequential" and not site["is_observed"]


def _samples(trace: poutine.Trace) -> list[str]:
    return [name for name, site in trace.nodes.items() if site["type"] == "sample"]
