"""Warm-up: how step size and metric follow the draws, and what happens when a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation import dual_averaging, welford
from ppl.infer.mcmc.adaptation.windows import Windows, windows
from ppl.infer.mcmc.transition import metric
from ppl.infer.mcmc.transition.machine import Outcome, PhasePoint, Tuning
from ppl.infer.mcmc.transition.masking import select
from ppl.infer.mcmc.transition.metric import Metric
from ppl.infer.mcmc.transition.step_records import FIELDS, StepRecords


class Adaptation(NamedTuple):
    """What warm-up remembers."""

    average: dual_averaging.DualAverage
    moments: welford.Moments


@dataclass(frozen=True)
class Warmup:
    """The adaptation of the first `num_steps` transitions of each chain.

    Args:
        num_steps: Transitions of the warm-up.
        target_accept_prob: The mean acceptance probability that the step size aims at.
        adapt_step_size: Whether the step size is adapted.
        adapt_mass_matrix: Whether the metric is adapted.
        full_mass: Whether the metric is dense.
        step_bounds: The smallest and the largest step size that adaptation may choose.
        cross_chain_adaptation: Whether all chains share one step size and one metric, learnt from
            all of them.
        block_mask: Which pairs of numbers a dense metric couples, bool ``(dim, dim)``; default all.
        inverse_mass: The inverse mass to begin with, of the shape of the metric's; default unit,
            or what many chains suggest.
    """

    num_steps: int
    target_accept_prob: float = 0.8
    adapt_step_size: bool = True
    adapt_mass_matrix: bool = True
    full_mass: bool = False
    step_bounds: tuple[float, float] = (1e-10, 1e10)
    cross_chain_adaptation: bool = False
    block_mask: Tensor | None = None
    inverse_mass: Tensor | None = None

    @property
    def pools_from(self) -> int:
        """The iteration from which chains that learn from each other share one step size.

        It begins the last window: until then some may be far from where the others are.
        """
        return (
            (0, *self.window_ends)[-2]
            if self.cross_chain_adaptation and self.window_ends
            else self.num_steps
        )

    @property
    def window_ends(self) -> tuple[int, ...]:
        """Iterations after which the metric is renewed."""
        return self._windows.ends if self.adapt_mass_matrix else ()

    @property
    def window_start(self) -> int:
        """The first iteration whose draw is collected for the metric."""
        return self._windows.start

    @cached_property
    def _windows(self) -> Windows:
        return windows(self.num_steps, self.cross_chain_adaptation)

    def first_metric(self, start: PhasePoint) -> Metric:
        """Return the metric that warm-up begins with."""
        if self.inverse_mass is None:
            return self._suggested_metric(start)
        return self._metric(self.inverse_mass)

    def _suggested_metric(self, start: PhasePoint) -> Metric:
        """Return the unit metric, or what many chains suggest.

        For a normal target with independent coordinates, positions and gradients from anywhere
        satisfy ``gradient = (position - mean) / variance``: the ratio of their spreads is the
        variance.
        """
        unit = torch.ones_like(start.position)
        if self.cross_chain_adaptation and self.adapt_mass_matrix:
            ratio = start.position.std(0) / start.gradient.std(0)
            usable = ratio.isfinite() & (ratio > 0)
            unit = torch.where(usable, ratio, 1.0).expand_as(unit)
        return self._metric(unit.diag_embed() if self.full_mass else unit)

    def _metric(self, inverse: Tensor) -> Metric:
        return metric.dense(inverse) if self.full_mass else metric.diagonal(inverse)

    def begin(self, position: Tensor, step_size: Tensor) -> Adaptation:
        """Return the adaptation before the first transition, of chains at ``(chain, dim)``."""
        moments = welford.begin(position, self.full_mass)
        return Adaptation(dual_averaging.begin(step_size), moments)

    def update(
        self, adaptation: Adaptation, tuning: Tuning, outcome: Outcome, iteration: Tensor
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning after a step of the machine.

        `iteration`, shape ``(chain,)``, counts the transitions finished before this step.
        """
        adapts = outcome.finished & (iteration < self.num_steps)
        average, moments = adaptation
        if self.adapt_step_size:
            alone = adapts & (iteration < self.pools_from)
            renewed = dual_averaging.update(average, outcome.accept_prob, self.target_accept_prob)
            average = select(alone, renewed, average)
            step_size = self._step_size(average.log_step)
            tuning = select(alone, tuning._replace(step_size=step_size), tuning)
        if self.window_ends:
            in_window = (iteration >= self.window_start) & (iteration < self.window_ends[-1])
            added = welford.update(moments, outcome.draw.position)
            moments = select(adapts & in_window, added, moments)
        return Adaptation(average, moments), tuning

    def update_together(
        self, adaptation: Adaptation, tuning: Tuning, records: StepRecords
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning after chains that share a step size took a stride.

        The mean acceptance probability of all chains in it counts as one: it has little noise.
        """
        counts = records.finished & (records.iteration >= self.pools_from)
        accept_prob = records.fields[..., FIELDS.index("accept_prob")].where(counts, 0.0)
        number = counts.sum(0)
        if not self.adapt_step_size or not bool(number.any()):
            return adaptation, tuning
        mean = (accept_prob.sum(0) / number)[number > 0].mean()
        average = dual_averaging.update(adaptation.average, mean, self.target_accept_prob)
        step_size = self._step_size(average.log_step)
        return adaptation._replace(average=average), tuning._replace(step_size=step_size)

    def renew_metric(
        self, adaptation: Adaptation, tuning: Tuning, draw: PhasePoint, ended: Tensor, shared: bool
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning where the window of the chains in `ended` has ended.

        Chains that learn from each other, but may still be far apart, go by their last draws.
        """
        moments = adaptation.moments
        emptied = welford.begin(moments.mean, self.full_mass)
        if self.cross_chain_adaptation and not shared:
            renewed = self._suggested_metric(draw)
        else:
            moments = welford.cross_chain_adaptation(moments) if shared else moments
            estimate = welford.shrunk_covariance(moments, tuning.metric.inverse)
            if self.block_mask is not None:
                estimate = estimate.where(self.block_mask, 0.0)
            renewed = self._metric(estimate)
        return (
            adaptation._replace(moments=select(ended, emptied, adaptation.moments)),
            tuning._replace(metric=select(ended, renewed, tuning.metric)),
        )

    def restart_step_size(
        self,
        adaptation: Adaptation,
        tuning: Tuning,
        step_size: Tensor,
        ended: Tensor,
        shared: bool = False,
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning with a new search that starts at `step_size`.

        If it shall be `shared`, all chains start at the geometric mean.
        """
        if shared:
            step_size = step_size.log().mean().exp().expand_as(step_size)
        renewed = dual_averaging.begin(step_size, lean=1.0 if shared else 10.0)
        average = select(ended, renewed, adaptation.average)
        step_size = select(ended, step_size, tuning.step_size)
        return adaptation._replace(average=average), tuning._replace(step_size=step_size)

    def finalize(self, adaptation: Adaptation, tuning: Tuning, ended: Tensor) -> Tuning:
        """Return the tuning with the averaged step size for the chains whose warm-up has ended."""
        if not self.adapt_step_size:
            return tuning
        settled = self._step_size(adaptation.average.log_step_mean)
        return tuning._replace(step_size=select(ended, settled, tuning.step_size))

    def _step_size(self, log_step: Tensor) -> Tensor:
        return log_step.exp().clamp(*self.step_bounds)
