"""Log densities of observations, one by one, where discrete sites were summed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.ops.contract import contract_to_tensor
from ppl.ops.packed import align, unpack, with_dims
from ppl.ops.rings import LogRing
from ppl.poutine.util import prune_subsample_sites, site_is_data

from .backward_sampling import plate_sizes
from .enumerated_sites import Variable, variables_of
from .enumeration import Factor, enumerate_discrete, factors_of, groups_of, naming, tree_of
from .predictive_runs import AtDraw

Model = Callable[..., Any]
Values = dict[str, Tensor]


def sums_out(trace: poutine.Trace) -> bool:
    """Return whether the only latent sites that are not given are discrete, of finite support."""
    free = [trace.nodes[name]["fn"] for name in prune_subsample_sites(trace).stochastic_nodes]
    return bool(free) and all(fn.support.is_discrete and fn.has_enumerate_support for fn in free)


def marginal_pointwise(
    model: Model,
    draw: Values,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    max_plate_nesting: int,
) -> Values:
    """Return the log density of each observation, summed over discrete sites without a value.

    Args:
        model: The model.
        draw: Values of the other latent sites.
        args: Arguments of the model.
        kwargs: Its keyword arguments.
        max_plate_nesting: The number of batch dimensions of plates.

    Returns:
        By observed site, in the shape of its plates, in nats.

    Raises:
        SiteError: If observations share a site that is summed out: none has a density of its own.
    """

    def at_draw() -> None:
        with AtDraw(draw):
            model(*args, **kwargs)

    with poutine.block():
        enumerated = enumerate_discrete(at_draw, max_plate_nesting)
        trace = prune_subsample_sites(poutine.trace(enumerated).get_trace())
    trace.compute_log_prob()
    trace.pack_tensors()
    sizes, variables = plate_sizes(trace), variables_of(trace)
    found: Values = {}
    for group in groups_of(_whole(factor, sizes) for factor in factors_of(trace)):
        observed = [f for f in group if _is_observation(trace.nodes[f.name])]
        if observed:
            _check_separate(group, observed, variables)
            found[observed[0].name] = unpack(_given_others(group, observed[0]), trace.symbol_to_dim)
    return {name: found[name] for name in trace.nodes if name in found}


def _is_observation(site: dict[str, Any]) -> bool:
    return site_is_data(site) and not site["infer"].get("_given")


def _whole(factor: Factor, sizes: Mapping[str, int]) -> Factor:
    """Return a factor with all elements of its plates, also where they are all alike."""
    plates = [plate for plate in factor.plates if sizes[plate] > 1]
    whole = LogRing(dim_to_size=dict(sizes)).broadcast(factor.log_prob, plates)
    return replace(factor, log_prob=whole)


def _check_separate(
    group: list[Factor], observed: list[Factor], variables: Mapping[str, Variable]
) -> None:
    """Refuse observations that depend on each other through a site that is summed out."""
    symbols = frozenset().union(*(factor.variables for factor in group))
    summed = [variables[symbol] for symbol in symbols if symbol in variables]
    names = sorted(factor.name for factor in observed)
    if len(names) > 1 or any(not v.plates >= observed[0].plates for v in summed):
        raise SiteError(
            f"the observations of {names} share the sites {sorted(v.name for v in summed)}, which "
            "are summed out: no observation has a density of its own given the other sites; give "
            "these sites values, by infer_discrete",
            site=names[0],
        )


def _given_others(group: list[Factor], observed: Factor) -> Tensor:
    """Return the density of an observation given the values of other sites of its group."""
    whole, dims = _sum(group, observed.plates), "".join(sorted(observed.plates))
    others = [factor for factor in group if factor is not observed]
    given = align(_sum(others, observed.plates), dims) if others else 0.0
    return with_dims(align(whole, dims) - given, dims)


def _sum(group: list[Factor], plates: frozenset[str]) -> Tensor:
    symbols = frozenset().union(*(factor.variables for factor in group))
    with naming(group):
        return contract_to_tensor(tree_of(group), symbols, plates)
