"""Log importance weights of the particles that an estimator draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distribution.util import is_identically_zero
from ppl.infer.particles import PARTICLES
from ppl.infer.util import MultiFrameTensor
from ppl.poutine.cond_indep_stack_frame import CondIndepStackFrame

Frames = frozenset[CondIndepStackFrame]
Traces = tuple[poutine.Trace, poutine.Trace]


class LogWeights(NamedTuple):
    """Log importance weights by particle and by the plates that all sites share.

    Attributes:
        values: ``log model - log guide``, shape ``(particle, *plates)``, without `scale`.
        score: The sum of the score functions of samples that are not reparametrized, of the shape
            of the values; the number 0 if all are.
        scale: What plates that subsample multiply a sum over the rest with.
    """

    values: Tensor
    score: Tensor | float
    scale: float


def log_weights(
    traces: Sequence[Traces], num_vectorized: int = 1, by_plate: bool = True
) -> LogWeights:
    """Return the log weights of particles.

    Elements of a plate that all sites are in are independent of each other, so that each has
    weights of its own; a subsample of such plates is scaled after, not within, whatever function of
    the weights is wanted.

    Args:
        traces: Pairs of a model trace and a guide trace, scored: one pair for each particle, or one
            that holds all of them in a plate.
        num_vectorized: How many particles that plate holds; 1 if there is no such plate.
        by_plate: Whether to keep the plates that all sites share, rather than to sum over them.
    """
    shared = _shared_plates(traces) if by_plate else frozenset()
    scale = math.prod(_subsampling(frame) for frame in shared)
    factor = num_vectorized / scale  # the plate of the particles averages them
    pairs = [_of_particle(pair, shared, factor) for pair in traces]
    values = _stack([value for value, _ in pairs], num_vectorized)
    if all(is_identically_zero(score) for _, score in pairs):
        return LogWeights(values, 0.0, scale)
    scores = [torch.as_tensor(score).expand_as(value) for value, score in pairs]
    return LogWeights(values, _stack(scores, num_vectorized), scale)


def _of_particle(pair: Traces, shared: Frames, factor: float) -> tuple[Tensor, Tensor | float]:
    """Return log weight and score function of a pair of traces, with the dims of shared plates."""
    weight, score = MultiFrameTensor(), MultiFrameTensor()
    for trace, sign in zip(pair, (factor, -factor), strict=True):
        for site in _scored(trace):
            frames = site["cond_indep_stack"]
            weight.add((frames, sign * site["log_prob"]))
            if trace is pair[1] and "score_parts" in site:
                score.add((frames, site["score_parts"].score_function))
    kept = shared | {f for f in _frames(pair) if f.name == PARTICLES}
    value, total = weight.sum_to(kept), score.sum_to(kept)
    return torch.as_tensor(0.0 if value is None else value), 0.0 if total is None else total


def _stack(values: list[Tensor], num_vectorized: int) -> Tensor:
    """Return values with the particles in front: the plate of the particles is the outermost."""
    if num_vectorized == 1:
        return torch.stack(values)
    (value,) = values
    return value if value.dim() and len(value) == num_vectorized else value[None]


def _shared_plates(traces: Sequence[Traces]) -> Frames:
    stacks = [
        frozenset(f for f in site["cond_indep_stack"] if f.vectorized and f.name != PARTICLES)
        for pair in traces
        for trace in pair
        for site in _scored(trace)
    ]
    return frozenset.intersection(*stacks) if stacks else frozenset()


def _frames(pair: Traces) -> Iterable[CondIndepStackFrame]:
    return (f for trace in pair for site in _scored(trace) for f in site["cond_indep_stack"])


def _scored(trace: poutine.Trace) -> list[dict[str, Any]]:
    return [trace.nodes[n] for n in trace.stochastic_nodes + trace.observation_nodes]


def _subsampling(frame: CondIndepStackFrame) -> float:
    return 1.0 if frame.full_size is None or not frame.size else frame.full_size / frame.size
