"""Several fits of one model from different seeds, by one program."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ppl.params.current import param_store
from ppl.randomness import get_rng_state, seeded, set_rng_state

from .fit_result import FitResult
from .whole_step import for_fit

if TYPE_CHECKING:
    from .fit import Fit
    from .svi import SVI


Best = tuple[FitResult, dict[str, Any]]  # with the state at its end


class Restarts:
    """Fits of an SVI from different seeds, each as it would be alone.

    Each takes its first step in a store of its own, by a copy of model and guide as they were
    before: so parameters begin where that seed lets them begin. All go on with the same program.

    Args:
        svi: Whose fits.
        make: Makes a fit that has not begun.
    """

    def __init__(self, svi: SVI, make: Callable[[SVI], Fit]) -> None:
        self._svi, self._make = svi, make
        self._before = copy.deepcopy((svi.model, svi.guide, svi.optim))

    def run(self, num_restarts: int, num_steps: int) -> FitResult:
        """Take the steps of all fits, and return the best one, with all of them.

        The parameters are those of the best fit afterwards.
        """
        seeds = torch.randint(2**31, (num_restarts,)).tolist()
        found, whole = get_rng_state(), self._svi._whole
        self._svi._whole = for_fit(num_restarts * num_steps, self._svi)
        try:
            results, best = self._fits(seeds, num_steps)
        finally:
            self._svi._whole = whole
        self._make(self._svi).restore(best[1])
        set_rng_state(found)
        return replace(best[0], restarts=tuple(results))

    def _fits(self, seeds: list[int], num_steps: int) -> tuple[list[FitResult], Best]:
        results: list[FitResult] = []
        best: Best | None = None
        for seed in seeds:
            under_way = self._make(self._svi)
            if num_steps:
                under_way.restore(self._first_step(seed))
            results.append(replace(under_way.run(num_steps), seed=seed))
            if best is None or level_of(results[-1]) < level_of(best[0]):
                best = results[-1], under_way.contents()
            if results[-1].reason == "interrupted":
                break
        assert best is not None
        return results, best

    def _first_step(self, seed: int) -> dict[str, Any]:
        """Return the state of a fit after its first step, by copies of everything."""
        other = copy.copy(self._svi)
        other.model, other.guide, other.optim = copy.deepcopy(self._before)
        other._leaves, other._whole = {}, None
        with param_store(), seeded(seed):
            under_way = self._make(other)
            under_way.run(1)
            return under_way.contents()


def level_of(result: FitResult) -> float:
    """Return the mean loss of the last tenth of the steps, infinity if none is finite."""
    last = result.losses[-max(1, result.num_steps // 10) :]
    finite = last[last.isfinite()]
    return float(finite.mean()) if len(finite) else math.inf
