"""Whether the shapes of sites are those that their plates declare, seen on one execution.

A batch dimension that no plate declares is where a vector takes the place of a number by mistake:
an observation of shape ``(10, 1)`` in a plate of 10 is scored 10 times ten times, without an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ShapeError
from ppl.matching import check_site_shape
from ppl.poutine.util import site_is_data, site_is_subsample

Site = dict[str, Any]


def check_declared(trace: poutine.Trace, max_plate_nesting: float = math.inf) -> None:
    """Refuse log densities with a batch dimension that no plate declares.

    What is subsampled, or has its own score function, needs to know which dimensions are
    independent; so estimators of the ELBO ask for a plate for every batch dimension.

    Args:
        trace: A trace, with its log densities computed.
        max_plate_nesting: How many batch dimensions belong to plates, counted from the right; those
            further left belong to enumeration.

    Raises:
        ShapeError: For the first site that is not declared.
    """
    for name, site in _sample_sites(trace):
        check_site_shape(site, max_plate_nesting)  # type: ignore[arg-type]
        if (
            site_is_data(site)
            and isinstance(site["value"], Tensor)
            and hasattr(site["fn"], "event_dim")
        ):
            _check_event(name, site)


def check_counted_once(trace: poutine.Trace) -> None:
    """Refuse observations that are scored more than once, by broadcasting along no plate's dim.

    Batch dimensions without a plate are right where the joint density is all that counts, as in
    MCMC, but for these. Nothing needs to have been scored.

    Args:
        trace: A trace.

    Raises:
        ShapeError: For the first such site.
    """
    for name, site in _sample_sites(trace):
        if (
            site_is_data(site)
            and isinstance(site["value"], Tensor)
            and hasattr(site["fn"], "event_dim")
        ):
            _check_data(name, site)
            _check_event(name, site)


def _sample_sites(trace: poutine.Trace) -> Iterator[tuple[str, Site]]:
    sites = ((n, s) for n, s in trace.nodes.items() if s["type"] == "sample")
    return ((name, site) for name, site in sites if not site_is_subsample(site))


def _check_data(name: str, site: Site) -> None:
    fn, mask = site["fn"], site["mask"]
    data = site["value"].shape[: site["value"].dim() - fn.event_dim]
    try:
        scored = torch.broadcast_shapes(data, fn.batch_shape, getattr(mask, "shape", ()))
    except RuntimeError:
        return  # refused where the site is scored, with the reason
    declared = {frame.dim: frame.size for frame in site["cond_indep_stack"] if frame.vectorized}
    stray = [d for d in range(-len(scored), 0) if scored[d] > 1 and d not in declared]
    if stray and 1 < data.numel() < scored.numel():
        plates = {f.name: (f.size, f.dim) for f in site["cond_indep_stack"] if f.vectorized}
        raise ShapeError(
            f"site {name!r}: its {data.numel()} observations, of batch shape {tuple(data)}, "
            f"broadcast to {tuple(scored)} and would be counted {scored.numel() // data.numel()} "
            f"times; the distribution has batch_shape {tuple(fn.batch_shape)}, and no plate has "
            f"dim {stray[-1]} (plates with size and dim: {plates}); give the data the shape of the "
            "plates, or declare event dimensions with .to_event(n)",
            site=name,
        )


def _check_event(name: str, site: Site) -> None:
    """Refuse one event that has the size of a plate, and is scored for each of its elements."""
    event, data = site["fn"].event_shape, site["value"].shape
    frames = (f for f in site["cond_indep_stack"] if f.vectorized and f.size > 1)
    for frame in frames if tuple(data) == tuple(event) else ():
        if frame.size in event:
            raise ShapeError(
                f"site {name!r}: its {data.numel()} observations are one event of shape "
                f"{tuple(event)}, which would be counted {frame.size} times, once for each element "
                f"of plate {frame.name!r}; leave out .to_event(n) or the plate",
                site=name,
            )
