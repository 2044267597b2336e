"""Whether to believe the draws of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ppl.infer import diagnostics
from ppl.infer.diagnostics import Verdict
from ppl.infer.mcmc.driver.depth import depth_advice
from ppl.infer.mcmc.driver.run_config import RunResult
from ppl.ops import stats

ENOUGH_DRAWS = 4  # of a chain: fewer cannot be compared
MANY_TOO_DEEP = 0.01  # of the transitions
DRAWS_JUDGED = 10_000  # at the end of a run: the statistics of more may take longer than it


def is_suspicious(kernel: Any, found: RunResult) -> bool:
    """Look at what costs little: a verdict sorts all draws, which may outlast the run."""
    deepest = getattr(kernel, "max_tree_depth", torch.inf)
    too_deep = found.fields.get("tree_depth", torch.zeros(1)) >= deepest
    if bool(diverging_in(found).any()) or float(too_deep.double().mean()) >= MANY_TOO_DEEP:
        return True
    return any(
        bool((stats.split_gelman_rubin(_some(draws)) > diagnostics.MAX_R_HAT).any())
        for draws in _latent(found).values()
        if draws.shape[1] >= ENOUGH_DRAWS
    )


def quick_verdict(kernel: Any, found: RunResult) -> Verdict:
    """Return the verdict on a part of the draws of long chains, all divergences among them."""
    diverging = diverging_in(found)
    every = max(1, diverging.numel() // DRAWS_JUDGED)
    kept = (torch.arange(diverging.shape[1]) % every == 0) | diverging.any(0).cpu()
    thinned = {name: draws[:, kept] for name, draws in _latent(found).items()}
    return verdict_of(kernel, found.fields, thinned, diverging[:, kept])


def verdict_of(
    kernel: Any, fields: Mapping[str, Tensor], samples: Mapping[str, Tensor], diverging: Tensor
) -> Verdict:
    """Return the verdict on draws of a kernel, given what it has reported of all of them."""
    verdict = diagnostics.assess(samples, diverging)
    deepest = getattr(kernel, "max_tree_depth", torch.inf)
    too_deep = int((fields.get("tree_depth", torch.zeros(())) >= deepest).sum())
    if not too_deep:
        return verdict
    reason = f"{too_deep} transitions reached max_tree_depth={deepest}: they ended too early"
    cure = depth_advice(samples, bool(getattr(kernel, "full_mass", False)))
    reasons, cures = (*verdict.reasons, reason), [(cure,), verdict.advice]
    advice = sum(reversed(cures) if bool(diverging.any()) else cures, ())  # the worst first
    return replace(verdict, reliable=False, reasons=reasons, advice=advice)


def diverging_in(found: RunResult) -> Tensor:
    """Return which transitions diverged, ``(chain, draw)``; none if nobody tells."""
    none = torch.zeros(found.shape, dtype=torch.bool)
    return found.fields.get("diverging", none)


def _latent(found: RunResult) -> dict[str, Tensor]:
    sampled = found.layout.names
    return {n: x for n, x in found.samples.items() if n in sampled}


def _some(draws: Tensor) -> Tensor:
    """Return at most `DRAWS_JUDGED` draws of each chain, in double precision."""
    return draws[:, :: math.ceil(draws.shape[1] / DRAWS_JUDGED)].double()
