"""Warm-up: how step size and metric follow the draws, and what happens when a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation import dual_averaging, gradient_metric, welford
from ppl.infer.mcmc.adaptation.adapt import Adapt
from ppl.infer.mcmc.adaptation.window import Window, empty_window
from ppl.infer.mcmc.adaptation.windows import (
    SHORTEST,
    Overlapping,
    Windows,
    doubling,
    overlapping,
    windows,
)
from ppl.infer.mcmc.transition import metric
from ppl.infer.mcmc.transition.machine import Outcome, PhasePoint, Tuning
from ppl.infer.mcmc.transition.masking import select
from ppl.infer.mcmc.transition.metric import Metric
from ppl.infer.mcmc.transition.step_records import FIELDS, StepRecords

FEW, ENOUGH = 3, 50  # draws that tell of a metric; that tell of a better one than was given


class Adaptation(NamedTuple):
    """What warm-up remembers."""

    average: dual_averaging.DualAverage
    window: Window
    next_window: Window  # begins within the other one; (chain, 0) if windows do not overlap


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
            or what gradients or many chains suggest.
        adapt: What the metric is learnt from: "diag" and "low_rank" from draws and gradients, the
            others from draws.  "diag" follows each draw of chains that learn alone.
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
    adapt: Adapt = "stan"

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
    def settles_from(self) -> int:
        """The iteration from which a chain that learns alone only settles its step size."""
        if self.cross_chain_adaptation or not self.adapt_step_size or self.num_steps < SHORTEST:
            return self.num_steps
        return self.window_ends[-1] if self.window_ends else self.num_steps // 2

    @property
    def restarts(self) -> tuple[int, ...]:
        """Iterations after which the search of the step size begins anew."""
        return tuple(sorted({*self.window_ends, self.settles_from} - {self.num_steps}))

    @property
    def learns_gradients(self) -> bool:
        """Whether the metric is learnt from gradients, too."""
        return self.adapt in ("diag", "low_rank")

    @property
    def follows_draws(self) -> bool:
        """Whether each chain renews its metric after each of its draws."""
        is_alone = not self.cross_chain_adaptation
        return self.adapt == "diag" and is_alone and bool(self.window_ends)

    def keeps_metric(self, iteration: Tensor) -> bool:
        """Return whether no chain has another metric after a restart in these iterations."""
        is_under_way = bool((iteration > 0).any())
        return is_under_way and (self.follows_draws or not self.window_ends)

    @property
    def few(self) -> int:
        """How many draws a metric that follows them needs, to be better than the first one."""
        return FEW if self.inverse_mass is None else ENOUGH

    @property
    def switches(self) -> tuple[int, ...]:
        """Iterations after which a metric that follows draws forgets the oldest of them."""
        return self._overlapping.switches if self.follows_draws else ()

    @property
    def window_start(self) -> int:
        """The first iteration whose draw is collected for the metric."""
        return self._windows.start

    @cached_property
    def _windows(self) -> Windows:
        if self.adapt == "diag" and not self.cross_chain_adaptation:
            return Windows(0, self._overlapping.restarts)
        if self.adapt == "low_rank" and not self.cross_chain_adaptation:
            return doubling(self.num_steps)
        return windows(self.num_steps, self.cross_chain_adaptation)

    @cached_property
    def _overlapping(self) -> Overlapping:
        return overlapping(self.num_steps)

    def first_metric(self, start: PhasePoint) -> Metric:
        """Return the metric that warm-up begins with."""
        if self.inverse_mass is None:
            return self._suggested_metric(start)
        return self._metric(self.inverse_mass)

    def _suggested_metric(self, start: PhasePoint) -> Metric:
        """Return the unit metric, or what gradients or many chains suggest.

        For a normal target with independent coordinates, positions and gradients from anywhere
        satisfy ``gradient = (position - mean) / variance``: the ratio of their spreads is the
        variance.
        """
        unit = torch.ones_like(start.position)
        if self.cross_chain_adaptation and self.adapt_mass_matrix:
            ratio = start.position.std(0) / start.gradient.std(0)
            usable = ratio.isfinite() & (ratio > 0)
            unit = torch.where(usable, ratio, 1.0).expand_as(unit)
        elif self.learns_gradients and self.window_ends:
            unit = gradient_metric.of_start(start.gradient)
        return self._metric(unit.diag_embed() if self.full_mass else unit)

    def _metric(self, inverse: Tensor) -> Metric:
        return metric.dense(inverse) if self.full_mass else metric.diagonal(inverse)

    def begin(self, position: Tensor, step_size: Tensor) -> Adaptation:
        """Return the adaptation before the first transition, of chains at ``(chain, dim)``."""
        window = self._window(position)
        following = window if self.follows_draws else self._window(position[:, :0])
        return Adaptation(dual_averaging.begin(step_size), window, following)

    def _window(self, like: Tensor) -> Window:
        return empty_window(like, self.learns_gradients, self.full_mass)

    def update(
        self, adaptation: Adaptation, tuning: Tuning, outcome: Outcome, iteration: Tensor
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning after a step of the machine.

        `iteration`, shape ``(chain,)``, counts the transitions finished before this step.
        """
        adapts = outcome.finished & (iteration < self.num_steps)
        average = adaptation.average
        if self.adapt_step_size:
            alone = adapts & (iteration < self.pools_from)
            renewed = dual_averaging.update(average, outcome.accept_prob, self.target_accept_prob)
            average = select(alone, renewed, average)
            step_size = self._step_size(average.log_step)
            tuning = select(alone, tuning._replace(step_size=step_size), tuning)
            adaptation = adaptation._replace(average=average)
        if not self.window_ends:
            return adaptation, tuning
        in_window = (iteration >= self.window_start) & (iteration < self.window_ends[-1])
        return self._learn(adaptation, tuning, outcome.draw, iteration, adapts & in_window)

    def _learn(
        self,
        adaptation: Adaptation,
        tuning: Tuning,
        draw: PhasePoint,
        iteration: Tensor,
        learns: Tensor,
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation with one more draw of the chains that learn, and the tuning."""
        window = select(learns, adaptation.window.with_draw(draw), adaptation.window)
        if not self.follows_draws:
            return adaptation._replace(window=window), tuning
        following = adaptation.next_window
        following = select(learns, following.with_draw(draw), following)
        ends = torch.tensor(self.switches, device=iteration.device)
        ended = learns & torch.isin(iteration + 1, ends)
        window = select(ended, following, window)
        following = select(ended, self._window(draw.position), following)
        variance = gradient_metric.variance(*window, tuning.metric.inverse, self.few)
        renewed = select(learns, metric.diagonal(variance), tuning.metric)
        adaptation = adaptation._replace(window=window, next_window=following)
        return adaptation, tuning._replace(metric=renewed)

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
        if self.follows_draws or not self.window_ends:
            return adaptation, tuning
        window = adaptation.window
        emptied = self._window(window.draws.mean)
        if self.cross_chain_adaptation and not shared:
            renewed = self._suggested_metric(draw)
        else:
            window = Window(*map(welford.cross_chain_adaptation, window)) if shared else window
            renewed = self._metric(self._estimate(window, tuning.metric.inverse))
        return (
            adaptation._replace(window=select(ended, emptied, adaptation.window)),
            tuning._replace(metric=select(ended, renewed, tuning.metric)),
        )

    def _estimate(self, window: Window, before: Tensor) -> Tensor:
        """Return the inverse mass that a window suggests, where it was another one `before`."""
        if self.adapt == "diag":
            return gradient_metric.variance(*window, before)
        if self.adapt == "low_rank":
            return gradient_metric.low_rank(*window, before)
        estimate = welford.shrunk_covariance(window.draws, before)
        return estimate if self.block_mask is None else estimate.where(self.block_mask, 0.0)

    def restart_step_size(
        self,
        adaptation: Adaptation,
        tuning: Tuning,
        step_size: Tensor,
        ended: Tensor,
        settles: Tensor,
        shared: bool = False,
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning with a new search that starts at `step_size`.

        It looks far around at first, and settles where `settles`, bool ``(chain,)``.  If the step
        size shall be `shared`, all chains start at the geometric mean.
        """
        if shared:
            step_size = step_size.log().mean().exp().expand_as(step_size)
        wide = dual_averaging.begin(step_size, lean=1.0 if shared else 10.0)
        renewed = select(settles, dual_averaging.settle(step_size), wide)
        average = select(ended, renewed, adaptation.average)
        step_size = select(ended, step_size.clamp(*self.step_bounds), tuning.step_size)
        return adaptation._replace(average=average), tuning._replace(step_size=step_size)

    def finalize(self, adaptation: Adaptation, tuning: Tuning, ended: Tensor) -> Tuning:
        """Return the tuning with the averaged step size for the chains whose warm-up has ended."""
        if not self.adapt_step_size:
            return tuning
        settled = self._step_size(adaptation.average.log_step_mean)
        return tuning._replace(step_size=select(ended, settled, tuning.step_size))

    def _step_size(self, log_step: Tensor) -> Tensor:
        return log_step.exp().clamp(*self.step_bounds)
