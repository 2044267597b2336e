"""Warm-up: how step size and metric follow the draws, and what happens when a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ppl.infer.mcmc import metric
from ppl.infer.mcmc.adaptation import dual_averaging, welford
from ppl.infer.mcmc.adaptation.windows import windows
from ppl.infer.mcmc.machine import Outcome, Tuning
from ppl.infer.mcmc.masking import select


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
    """

    num_steps: int
    target_accept_prob: float = 0.8
    adapt_step_size: bool = True
    adapt_mass_matrix: bool = True
    full_mass: bool = False
    step_bounds: tuple[float, float] = (1e-10, 1e10)

    @property
    def window_ends(self) -> tuple[int, ...]:
        """Iterations after which the metric is renewed."""
        return windows(self.num_steps).ends if self.adapt_mass_matrix else ()

    @property
    def window_start(self) -> int:
        """The first iteration whose draw is collected for the metric."""
        return windows(self.num_steps).start

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
            renewed = dual_averaging.update(average, outcome.accept_prob, self.target_accept_prob)
            average = select(adapts, renewed, average)
            step_size = average.log_step.exp().clamp(*self.step_bounds)
            tuning = select(adapts, tuning._replace(step_size=step_size), tuning)
        if self.window_ends:
            in_window = (iteration >= self.window_start) & (
                iteration < self.window_ends[-1]
            )
            added = welford.update(moments, outcome.draw.position)
            moments = select(adapts & in_window, added, moments)
        return Adaptation(average, moments), tuning

    def renew_metric(
        self, adaptation: Adaptation, tuning: Tuning, ended: Tensor
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning where the window of the chains in `ended` has ended."""
        moments = adaptation.moments
        estimate = welford.shrunk_covariance(moments)
        renewed = metric.dense(estimate) if self.full_mass else metric.diagonal(estimate)
        emptied = welford.begin(moments.mean, self.full_mass)
        return (
            adaptation._replace(moments=select(ended, emptied, moments)),
            tuning._replace(metric=select(ended, renewed, tuning.metric)),
        )

    def restart_step_size(
        self, adaptation: Adaptation, tuning: Tuning, step_size: Tensor, ended: Tensor
    ) -> tuple[Adaptation, Tuning]:
        """Return the adaptation and tuning with a new search that starts at `step_size`."""
        average = select(ended, dual_averaging.begin(step_size), adaptation.average)
        step_size = select(ended, step_size, tuning.step_size)
        return adaptation._replace(average=average), tuning._replace(step_size=step_size)

    def settle(self, adaptation: Adaptation, tuning: Tuning, ended: Tensor) -> Tuning:
        """Return the tuning with the averaged step size for the chains whose warm-up has ended."""
        if not self.adapt_step_size:
            return tuning
        settled = adaptation.average.log_step_mean.exp().clamp(*self.step_bounds)
        return tuning._replace(step_size=select(ended, settled, tuning.step_size))
