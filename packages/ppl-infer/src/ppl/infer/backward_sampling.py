"""Draws of the enumerated sites of a model from their posterior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotFiniteError
from ppl.ops.contract import contract_to_tensor
from ppl.ops.packed import dims_of, gather, unpack
from ppl.ops.rings import ChoiceRing, LogRing, MapRing, SampleRing
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import prune_subsample_sites
from ppl.validation import is_validation_enabled

from .enumerated_sites import Variables, check_plates, variables_of, weighted_factors
from .enumeration import Factor, naming, tree_of

Assignment = dict[str, Tensor]  # the index of the value of each variable, packed along its plates


class BackwardSampleMessenger(Messenger):
    """Runs a model at values of its enumerated sites that are drawn from their joint posterior.

    It is that given the observed and the other latent sites of an enumerated execution, whose
    values are kept: variables are eliminated one after the other, as in forward filtering, and
    drawn in the reverse order. Latent sites that depend on enumerated ones and are not in the guide
    tell nothing about them; they get the value that belongs to the draw. Scales are disregarded.

    Args:
        enum_trace: An execution of the model under ``poutine.enum``.
        guide_trace: The execution of the guide that it was replayed at, if there was one;
            enumerated sites of the guide are drawn from the guide.
        temperature: 1 to draw, 0 for the values at the joint maximum (the Viterbi algorithm).

    Raises:
        NotFiniteError: If no values of the enumerated sites have a positive density.
        IntractableError: If the sum would be exponential in the size of a plate.
    """

    def __init__(
        self,
        enum_trace: poutine.Trace,
        guide_trace: poutine.Trace | None = None,
        temperature: int = 1,
    ) -> None:
        guide_trace = poutine.Trace() if guide_trace is None else _packed(guide_trace)
        trace = _packed(enum_trace, guide_trace)
        with torch.no_grad():
            assignment = _draw(trace, guide_trace, is_best=temperature == 0)
        scored = trace.nodes
        self._values = {
            name: _value_at(scored[name], trace, assignment) if name in scored else site["value"]
            for name, site in enum_trace.iter_stochastic_nodes()
        }

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self._values and not msg["is_observed"]:
            msg["value"], msg["done"] = self._values[msg["name"]], True


def posterior_factors(
    trace: poutine.Trace, guide_trace: poutine.Trace, variables: Variables, as_density: bool = False
) -> list[Factor]:
    """Return the factors of the joint posterior of variables, unscaled.

    Args:
        trace: An enumerated execution of a model, packed.
        guide_trace: The execution of the guide that it was replayed at, which may be empty.
        variables: The enumerated sites of the model.
        as_density: Whether these count by their densities, so that those which a mask leaves out
            have no say in a maximum, rather than by their weights in a sum.
    """
    latent = set(trace.stochastic_nodes) - set(guide_trace.nodes)
    latent -= {variable.name for variable in variables.values()}
    summed: Variables = {} if as_density else variables
    factors = [f for f in weighted_factors(trace, summed) if f.variables & variables.keys()]
    check_plates(factors, {**variables_of(guide_trace), **variables})
    sizes = plate_sizes(trace)
    whole = LogRing(dim_to_size=sizes)
    return [
        replace(f, log_prob=whole.broadcast(f.log_prob, [p for p in f.plates if sizes[p] > 1]))
        for f in factors
        if f.name not in latent
    ]


def _packed(trace: poutine.Trace, guide_trace: poutine.Trace | None = None) -> poutine.Trace:
    trace = prune_subsample_sites(trace)
    trace.compute_log_prob()
    trace.pack_tensors(getattr(guide_trace, "plate_to_symbol", None))
    return trace


def _draw(trace: poutine.Trace, guide_trace: poutine.Trace, is_best: bool) -> Assignment:
    """Return the values of the guide's variables, and those of the model's given them."""
    given = variables_of(guide_trace)
    drawn = _assign(list(weighted_factors(guide_trace, given)), given, SampleRing())
    own = {s: v for s, v in variables_of(trace).items() if s not in given}
    factors = [_given(f, drawn) for f in posterior_factors(trace, guide_trace, own, is_best)]
    return {**drawn, **_assign(factors, own, MapRing() if is_best else SampleRing())}


def _assign(factors: list[Factor], variables: Variables, ring: ChoiceRing) -> Assignment:
    factors = [factor for factor in factors if factor.variables & variables.keys()]
    with naming(factors):
        total = contract_to_tensor(tree_of(factors), variables.keys(), ring=ring) if factors else 0
    if is_validation_enabled() and isinstance(total, Tensor) and not bool(total.isfinite()):
        raise NotFiniteError(
            f"the enumerated sites {sorted(v.name for v in variables.values())} have the log "
            f"density {total.item()} at their best values together; look at the data and at the "
            "parameters of sites"
        )
    return ring.assignment()


def _given(factor: Factor, drawn: Assignment) -> Factor:
    log_prob = factor.log_prob
    for symbol in dims_of(log_prob):
        if symbol in drawn:
            log_prob = gather(log_prob, drawn[symbol], symbol)
    return replace(factor, log_prob=log_prob, variables=factor.variables - drawn.keys())


def _value_at(site: dict[str, Any], trace: poutine.Trace, assignment: Assignment) -> Any:
    """Return the value of a site where enumerated sites have the values that were drawn."""
    value, event_dim = site["value"], getattr(site["fn"], "event_dim", 0)
    if not isinstance(value, Tensor):
        return value
    for dim, symbol in site["infer"].get("_dim_to_symbol", {}).items():
        at = dim - event_dim
        if symbol in assignment and value.dim() >= -at and value.shape[at] > 1:
            index = unpack(assignment[symbol], trace.symbol_to_dim)
            value = _take(value, index.reshape(index.shape + (1,) * event_dim), at)
    plates = {f.dim: f.size for f in site["cond_indep_stack"] if f.dim is not None}
    shape = [plates.get(dim, 1) for dim in range(min(plates, default=0), 0)]
    while value.dim() > len(shape) + event_dim and value.shape[0] == 1:
        value = value.squeeze(0)
    batch = torch.broadcast_shapes(shape, value.shape[: value.dim() - event_dim])
    return value.expand([*batch, *value.shape[value.dim() - event_dim :]])


def _take(value: Tensor, index: Tensor, dim: int) -> Tensor:
    index = index.reshape([1] * (value.dim() - index.dim()) + list(index.shape))
    return torch.take_along_dim(value, index, dim)


def plate_sizes(trace: poutine.Trace) -> dict[str, int]:
    """Return the sizes of plates by symbol, of a packed trace."""
    return dict(_sizes(trace))


def _sizes(trace: poutine.Trace) -> Iterator[tuple[str, int]]:
    for site in trace.nodes.values():
        for frame in site.get("cond_indep_stack", ()):
            if frame.vectorized:
                yield trace.plate_to_symbol[frame.name], frame.size
