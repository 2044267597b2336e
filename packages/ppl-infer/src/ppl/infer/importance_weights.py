"""Log importance weights of a model trace that was replayed at a guide trace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.poutine.cond_indep_stack_frame import CondIndepStackFrame

from .particles import PARTICLES
from .util import MultiFrameTensor

Site = dict[str, Any]


def log_weight(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor | float:
    """Return ``log model - log guide`` of one execution, a scalar in nats.

    A latent site of the model that the guide does not have was drawn from its prior; it is part of
    the proposal, and cancels.
    """
    counts = _counts_in(guide_trace)
    return model_trace.log_prob_sum(counts) - guide_trace.log_prob_sum()


def vectorized_log_weights(
    model_trace: poutine.Trace,
    guide_trace: poutine.Trace,
    num_particles: int,
    name: str = PARTICLES,
) -> Tensor:
    """Return :func:`log_weight` of each particle of a plate, shape ``(num_particles,)``.

    Args:
        model_trace: A trace of the model, run inside the plate of the particles.
        guide_trace: One of the guide, run so too.
        num_particles: The size of the plate.
        name: The name of the plate.

    Raises:
        SiteError: If a site lies outside of the plate.
    """
    model_trace.compute_log_prob(_counts_in(guide_trace))
    guide_trace.compute_log_prob()
    total, dtype = MultiFrameTensor(), torch.get_default_dtype()
    kept: set[CondIndepStackFrame] = set()
    for sign, site in _scored(model_trace, guide_trace):
        frames = {frame for frame in site["cond_indep_stack"] if frame.name == name}
        if not frames:
            raise SiteError(f"site {site['name']!r} lies outside of the plate of the particles")
        kept |= frames
        total.add((site["cond_indep_stack"], sign * site["log_prob"]))
    value = total.sum_to(kept)
    if value is None:
        return torch.zeros(num_particles, dtype=dtype)
    return value.reshape(-1).expand(num_particles)


def normalized(log_weights: Tensor) -> Tensor:
    """Return log weights that sum to one.

    Raises:
        SiteError: If all are minus infinity, or one is no number.
    """
    total = log_weights.logsumexp(0)
    if not bool(total.isfinite()):
        raise SiteError(
            f"the log weights of {len(log_weights)} draws sum to {total.item()}: no weight is "
            "positive and finite; look for observations that are impossible in all draws, or "
            "for parameters that are nan"
        )
    return log_weights - total


def effective_size(log_weights: Tensor) -> Tensor:
    """Return ``1 / sum(weight**2)`` of normalized weights: how many equal ones they are worth."""
    return (-(2 * normalized(log_weights)).logsumexp(0)).exp()


def log_mean(log_weights: Tensor) -> Tensor:
    """Return the log of the mean weight."""
    normalized(log_weights)  # which refuses what has none
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def _counts_in(guide_trace: poutine.Trace) -> Any:
    return lambda name, site: site["is_observed"] or name in guide_trace


def _scored(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Iterator[tuple[int, Site]]:
    for trace, sign in ((model_trace, 1), (guide_trace, -1)):
        for site in trace.nodes.values():
            if site["type"] == "sample" and "log_prob" in site and not _is_subsample(site):
                yield sign, site


def _is_subsample(site: Site) -> bool:
    return poutine.util.site_is_subsample(site)
