"""What the values of enumerated sites count, and what may depend on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import IntractableError, SiteError
from ppl.ops.packed import align, dims_of, with_dims

from .enumeration import Factor, factor_of, factors_of, variable_of

Site = Mapping[str, Any]


class OutsidePlateError(SiteError, IntractableError):
    """A site depends on an enumerated one that is in a plate of its own."""


class Variable(NamedTuple):
    """An enumerated site.

    Attributes:
        name: The name of the site.
        plates: The symbols of the plates that it is in.
    """

    name: str
    plates: frozenset[str]


Variables = Mapping[str, Variable]  # by symbol


def variables_of(trace: poutine.Trace) -> dict[str, Variable]:
    """Return the enumerated sites of a packed trace, by symbol."""
    found = {}
    for factor in factors_of(trace):
        symbol = variable_of(trace.nodes[factor.name])
        if symbol is not None:
            found[symbol] = Variable(factor.name, factor.plates)
    return found


def weighted_factors(trace: poutine.Trace, variables: Variables) -> Iterator[Factor]:
    """Iterate over the factors of a sum over enumerated sites: these count by their weights.

    Args:
        trace: An enumerated execution, scored and packed.
        variables: The sites to sum over.
    """
    for factor in factors_of(trace):
        is_summed = variable_of(trace.nodes[factor.name]) in variables
        yield weight_of(trace, factor.name) if is_summed else factor


def weight_of(trace: poutine.Trace, name: str) -> Factor:
    """Return the logarithm of what each value of an enumerated site counts in a sum.

    All values of a support count by their probabilities, whatever the mask: a site that a mask
    leaves out has its prior. Values that were drawn count by the ratio of their density to that
    which they were drawn from (Aitchison 2019, "Tensor Monte Carlo"), whose gradient is that of an
    importance weight if they are not reparametrized.
    """
    site = trace.nodes[name]
    log_prob = site["packed"]["unscaled_log_prob"]
    num_samples = site["infer"].get("num_samples")
    if num_samples is None:
        return factor_of(trace, name, log_prob)
    dims = dims_of(log_prob)
    proposal = align(log_proposal(log_prob, site), dims)
    if not getattr(site["fn"], "has_rsample", False):
        proposal = proposal.detach()
    ratio = log_prob - proposal - math.log(num_samples)
    return factor_of(trace, name, with_dims(ratio, dims))


def log_proposal(log_prob: Tensor, site: Site) -> Tensor:
    """Return the log density that the values of a site were drawn from, packed.

    Values drawn for one parent each are, taken together, draws from the mixture over the parents.

    Args:
        log_prob: The log density of the site, packed.
        site: A site of a packed trace, with ``infer["num_samples"]``.
    """
    own, plates = variable_of(site), {frame.dim for frame in site["cond_indep_stack"]}
    symbols = site["infer"]["_dim_to_symbol"]
    others = {symbol for dim, symbol in symbols.items() if dim not in plates and symbol != own}
    parents = "".join(symbol for symbol in dims_of(log_prob) if symbol in others)
    if site["infer"].get("expand") or not parents:
        return log_prob
    rest = "".join(symbol for symbol in dims_of(log_prob) if symbol not in parents)
    table = align(log_prob, rest + parents)
    if site["infer"].get("tmc", "diagonal") == "diagonal":
        draws = torch.arange(site["infer"]["num_samples"], device=table.device)
        chosen: tuple[Any, ...] = tuple(draws % size for size in table.shape[len(rest) :])
        at = (..., *chosen)
        table = table[at]
    table = table.flatten(len(rest))
    return with_dims(table.logsumexp(-1) - math.log(table.shape[-1]), rest)


def check_plates(factors: Iterable[Factor], variables: Variables) -> None:
    """Refuse a factor that depends on an enumerated site from outside of its plates.

    Raises:
        OutsidePlateError: The message names both sites.
    """
    for factor in factors:
        for symbol in sorted(factor.variables & variables.keys()):
            variable = variables[symbol]
            if not variable.plates <= factor.plates:
                raise OutsidePlateError(
                    f"site {factor.name!r} depends on the enumerated site {variable.name!r}, but "
                    "is outside of its plate: each slice of the plate has a value of its own, and "
                    f"a sum over all of them is exponential in its size; move {factor.name!r} into "
                    f"the plate, or do not enumerate {variable.name!r}",
                    site=factor.name,
                )
