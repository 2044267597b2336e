"""Exact sums over the discrete sites of a model.

A model that runs inside ``poutine.enum`` has all values of its discrete sites at once, each site
along a dimension of its own.  The log densities of its sites are then factors, and what is left to
do is a contraction: variable elimination in plates (Obermeyer et al. 2019, "Tensor variable
elimination for plated factor graphs", ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import IntractableError, ShapeError, SiteError
from ppl.ops.contract import contract_to_tensor
from ppl.ops.packed import dims_of, scale_and_mask
from ppl.poutine.util import site_is_subsample

from .util import is_same

Model = Callable[..., Any]
Scale = Tensor | float


@dataclass(frozen=True)
class Factor:
    """The log density of a site.

    Attributes:
        name: The name of the site.
        log_prob: Packed, masked, but not scaled, in nats.
        scale: What the log density is multiplied with.
        plates: The symbols of the plates that it is in.
        variables: The symbols of the enumerated sites that it depends on.
    """

    name: str
    log_prob: Tensor
    scale: Scale
    plates: frozenset[str]
    variables: frozenset[str]


def enumerate_discrete(model: Model, max_plate_nesting: int) -> Model:
    """Return a model that gives each of its discrete latent sites all values at once.

    Args:
        model: The model.
        max_plate_nesting: The number of batch dimensions that plates use, those on the right.
    """
    marked = poutine.infer_config(model, config_fn=_mark)
    enumerated: Model = poutine.enum(marked, first_available_dim=-1 - max_plate_nesting)
    return enumerated


def check_room(trace: poutine.Trace, max_plate_nesting: int) -> None:
    """Check that the plates of an execution leave the dimensions of enumerated sites alone.

    Raises:
        ShapeError: If a plate needs a dimension further left; the message names a site.
    """
    for name, site in trace.nodes.items():
        for frame in site.get("cond_indep_stack", ()):
            if frame.dim is not None and -frame.dim > max_plate_nesting:
                raise ShapeError(
                    f"site {name!r}: plate {frame.name!r} has dim {frame.dim}, but with "
                    f"max_plate_nesting={max_plate_nesting} enumerated sites take the dims from "
                    f"{-1 - max_plate_nesting} to the left; pass max_plate_nesting={-frame.dim}"
                )


def log_sum(trace: poutine.Trace) -> Tensor:
    """Return the log density of an enumerated execution, summed over its enumerated sites.

    It has shape ``()`` and is in nats.  The densities of all sites that depend on enumerated ones
    are summed together, then scaled, and the log densities of all other sites are added.

    Args:
        trace: Of a model that ran inside ``poutine.enum``; its log densities are computed if they
            have not been.

    Raises:
        IntractableError: If the sum would be exponential in the size of a plate.
        ShapeError: If a site has a batch dimension that is neither a plate nor an enumerated site.
        SiteError: If sites that are to be summed together have different scales.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import plate, sample
        >>> def model():
        ...     with plate("rows", 3):
        ...         z = sample("z", dist.Bernoulli(0.25))
        ...         sample("x", dist.Bernoulli(0.5 + 0.4 * z), obs=torch.ones(3))
        >>> log_sum(poutine.trace(enumerate_discrete(model, 1)).get_trace()).exp()  # 0.6 ** 3
        tensor(0.2160)
    """
    trace.compute_log_prob()
    trace.pack_tensors()
    factors = list(factors_of(trace))
    single = [trace.nodes[f.name]["log_prob_sum"] for f in factors if not f.variables]
    return torch.as_tensor(sum(single) + log_sum_of(f for f in factors if f.variables))


def log_sum_of(factors: Iterable[Factor]) -> Tensor | float:
    """Return the logarithm of a sum of products of factors, each group of them scaled after."""
    return sum(scale_of(group) * _contract(group) for group in groups_of(factors))


def _mark(site: dict[str, Any]) -> dict[str, Any]:
    """Enumerate what is discrete and nothing else, whatever the model says."""
    if site["type"] != "sample" or site_is_subsample(site):
        return {}
    is_wanted = not site["is_observed"] and bool(site["fn"].support.is_discrete)
    return {"enumerate": "parallel" if is_wanted else None, "num_samples": None}


def variable_of(site: Mapping[str, Any]) -> str | None:
    """Return the symbol of the variable that an enumerated site of a packed trace is, if it is."""
    dim = site["infer"].get("_enumerate_dim")
    return None if dim is None else site["infer"]["_dim_to_symbol"].get(dim)


def factors_of(trace: poutine.Trace) -> Iterator[Factor]:
    """Iterate over the factors of an enumerated execution, which is scored and packed."""
    for name, site in trace.nodes.items():
        if site["type"] == "sample":
            packed = site["packed"]
            log_prob = scale_and_mask(packed["unscaled_log_prob"], mask=packed["mask"])
            yield factor_of(trace, name, log_prob)


def factor_of(trace: poutine.Trace, name: str, log_prob: Tensor) -> Factor:
    """Return a factor that stands where a site of a packed trace does.

    Args:
        trace: The execution.
        name: The site.
        log_prob: Packed.
    """
    site, symbols = trace.nodes[name], trace.plate_to_symbol
    plates = frozenset(symbols[f.name] for f in site["cond_indep_stack"] if f.dim is not None)
    variables = frozenset(dims_of(log_prob)).difference(symbols.values())
    return Factor(name, log_prob, site["scale"], plates, variables)


def tree_of(factors: Iterable[Factor]) -> dict[frozenset[str], list[Tensor]]:
    """Return log densities by the plates that they are in."""
    tree: dict[frozenset[str], list[Tensor]] = {}
    for factor in factors:
        tree.setdefault(factor.plates, []).append(factor.log_prob)
    return tree


def groups_of(factors: Iterable[Factor], variables: Set[str] | None = None) -> list[list[Factor]]:
    """Return the factors in groups that share no variable, or none of the given ones."""
    groups: list[tuple[frozenset[str], list[Factor]]] = []
    for factor in factors:
        own = factor.variables if variables is None else factor.variables & variables
        touched = [group for group in groups if not group[0].isdisjoint(own)]
        joint = own.union(*(shared for shared, _ in touched))
        members = [member for _, members in touched for member in members]
        groups = [group for group in groups if group[0].isdisjoint(own)]
        groups.append((joint, [*members, factor]))
    return [members for _, members in groups]


def scale_of(group: list[Factor]) -> Scale:
    """Return the scale that all factors of a group have: a power of a sum is no sum of powers."""
    first = group[0]
    if isinstance(first.scale, Tensor) and first.scale.dim():
        raise SiteError(
            f"site {first.name!r} depends on enumerated sites and has a scale of shape "
            f"{tuple(first.scale.shape)}; use one number"
        )
    for other in group[1:]:
        if not is_same(first.scale, other.scale):
            raise SiteError(
                f"sites {first.name!r} and {other.name!r} depend on the same enumerated sites but "
                f"have the scales {first.scale} and {other.scale}; scale them alike, and draw a "
                "site that many rows share outside of plates that subsample only if these are full"
            )
    return first.scale


def _contract(group: list[Factor]) -> Tensor:
    variables = frozenset().union(*(factor.variables for factor in group))
    with naming(group):
        return contract_to_tensor(tree_of(group), variables)


@contextmanager
def naming(group: Iterable[Factor]) -> Iterator[None]:
    """Name the sites of a group in the error of a sum that is too large."""
    try:
        yield
    except IntractableError as error:
        names = [factor.name for factor in group]
        raise IntractableError(f"the sum over the discrete sites of {names}: {error}") from None
