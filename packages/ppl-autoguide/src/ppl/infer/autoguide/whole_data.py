"""What says something of the posterior needs all of the data."""

from __future__ import annotations

from typing import Any

import ppl.poutine as poutine
from ppl.errors import ArgumentError


def refuse_subsamples(trace: poutine.Trace) -> None:
    """Refuse a run in which a plate around a sample site is a part of it.

    Raises:
        ArgumentError: With the site and the plate.
    """
    for name in trace.stochastic_nodes + trace.observation_nodes:
        refuse_subsample(trace.nodes[name])


def refuse_subsample(site: dict[str, Any]) -> None:
    """Refuse a site in a plate that is subsampled.

    Raises:
        ArgumentError: With the site and the plate.
    """
    for frame in site["cond_indep_stack"]:
        if frame.full_size not in (None, frame.size):
            raise ArgumentError(
                f"site {site['name']!r}: plate {frame.name!r} is a subsample of {frame.size} of "
                f"{frame.full_size} elements, which says too little of the whole; pass "
                "arguments with which the model sees all data",
                site=site["name"],
            )
