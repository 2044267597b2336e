"""Draws of a prior that is being changed by hand, without running the simulation again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import MissingSiteError
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import prune_subsample_sites

from .arguments import positive_int
from .importance_weights import normalized
from .predictive_runs import AtDraw, run_draws, values_of

Model = Callable[[], Any]
Samples = dict[str, Tensor]
_LOG_PROB = "_log_prob"


class Resampler:
    """Draws once from a broad program, and resamples these draws for narrower ones.

    It is made for the first step of modelling, where a prior is adjusted by looking at what it
    predicts: the expensive simulation runs once, for draws of the guide.

    Args:
        guide: A program without arguments that is broader than all models to come.
        simulator: A program without arguments with the sites of the guide, and what follows from
            them; the guide itself by default.
        num_guide_samples: How many draws to make.
        max_plate_nesting: Not needed; taken for the sake of old programs.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> resampler = Resampler(
        ...     lambda: sample("x", dist.Normal(0.0, 3.0)), num_guide_samples=10_000
        ... )
        >>> draws = resampler.sample(lambda: sample("x", dist.Normal(2.0, 0.5)), num_samples=1000)
        >>> round(draws["x"].mean().item())
        2
    """

    def __init__(
        self,
        guide: Model,
        simulator: Model | None = None,
        *,
        num_guide_samples: int,
        max_plate_nesting: int | None = None,
    ) -> None:
        require_program("guide", guide)
        self._number: int = positive_int("num_guide_samples", num_guide_samples)
        self._given, self._guide_log_prob = self._run(guide, {})
        self._samples = self._given
        if simulator is not None:
            require_program("simulator", simulator)
            self._samples = {**self._given, **self._run(simulator, self._given)[0]}
        self._noise = torch.empty((0, self._number))  # of Gumbel, one row for each draw

    @torch.no_grad()
    def sample(self, model: Model, num_samples: int, stable: bool = True) -> Samples:
        """Return draws of all sites as if the guide had been the model.

        Args:
            model: A program without arguments with the sites of the guide.
            num_samples: How many draws.
            stable: Whether a small change of the model changes few draws, so that a picture of them
                does not flicker; the same model then gives the same draws. Pass False for draws
                that are independent of those of earlier calls.

        Returns:
            By site, shape ``(num_samples, *site)``.

        Raises:
            MissingSiteError: If the model lacks a site of the guide.
            SiteError: If no draw of the guide is possible in the model.
        """
        num_samples = positive_int("num_samples", num_samples)
        _, model_log_prob = self._run(model, self._given)
        log_weights = normalized(model_log_prob - self._guide_log_prob)
        if stable:
            chosen = (log_weights + self._gumbel(num_samples)).argmax(-1)
        else:
            chosen = log_weights.exp().multinomial(num_samples, replacement=True)
        return {name: x[chosen] for name, x in self._samples.items()}

    def _gumbel(self, rows: int) -> Tensor:
        """Return noise that is the same in each call."""
        missing = rows - len(self._noise)
        if missing > 0:
            new = -torch.rand(missing, self._number).log().neg().log()
            self._noise = torch.cat([self._noise, new])
        return self._noise[:rows]

    def _run(self, program: Model, given: Samples) -> tuple[Samples, Tensor]:
        """Return draws of the sites that are not given, and the log density of those that are.

        If nothing is given, all sites count.
        """

        def at_draw(draw: Samples) -> Samples:
            with poutine.block(), AtDraw(draw):
                trace: Any = prune_subsample_sites(poutine.trace(program).get_trace())
            missing = [name for name in given if name not in trace]
            if missing:
                raise MissingSiteError(
                    f"the program has no sites {missing}, which the guide has", site=missing[0]
                )
            names = [n for n, s in trace.nodes.items() if s["type"] == "sample" and n not in given]
            log_prob = trace.log_prob_sum(lambda name, _: not given or name in given)
            return {**values_of(trace, names), _LOG_PROB: torch.as_tensor(log_prob)}

        with torch.no_grad():
            first = at_draw({name: x[0] for name, x in given.items()})
            values = run_draws(at_draw, given, first, self._number, parallel=True)
        return values, values.pop(_LOG_PROB)
