"""The draws of a window of warm-up, and the gradients there."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ppl.infer.mcmc.adaptation import welford
from ppl.infer.mcmc.transition.machine import PhasePoint


class Window(NamedTuple):
    """What is known of the draws of a window."""

    draws: welford.Moments
    gradients: welford.Moments  # of the potential there; (chain, 0) if they are not learnt from

    def with_draw(self, draw: PhasePoint) -> Window:
        """Return the window with one more draw of each chain."""
        gradients = self.gradients
        if gradients.mean.shape[-1]:
            gradients = welford.update(gradients, draw.gradient)
        return Window(welford.update(self.draws, draw.position), gradients)


def empty_window(like: Tensor, learns_gradients: bool, full_mass: bool) -> Window:
    """Return a window without draws, of chains at positions of shape ``(chain, dim)``."""
    gradients = like if learns_gradients else like[:, :0]
    return Window(*(welford.begin(x, full_mass) for x in (like, gradients)))
