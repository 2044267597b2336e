"""Dual averaging: stochastic approximation that settles (Nesterov 2009)."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

Number = float | Tensor

T0 = 10.0  # how much the first iterations are damped
KAPPA = 0.75  # how fast the weight of old iterates decays


class Search(NamedTuple):
    """A search for the root of a noisy function: numbers, or tensors of many searches at once."""

    x: Any  # the last iterate
    x_mean: Any  # the average of all, which converges
    gradient_mean: Any
    num_steps: Any
    center: Any  # the iterates shrink towards it
    gamma: Any  # how strongly they do


def update(search: Search, gradient: Number, t0: float = T0, kappa: float = KAPPA) -> Search:
    """Return the search after the gradient at its iterate (Hoffman and Gelman 2014, eq. 6).

    Args:
        search: Before it.
        gradient: A noisy value of the function whose root is wanted.
        t0: How much the first iterations are damped, positive.
        kappa: How fast the weight of old iterates decays, in ``(0.5, 1]``.
    """
    t = search.num_steps + 1
    mean = search.gradient_mean + (gradient - search.gradient_mean) / (t + t0)
    x = search.center - t**0.5 / search.gamma * mean
    x_mean = search.x_mean + t**-kappa * (x - search.x_mean)
    return Search(x, x_mean, mean, t, search.center, search.gamma)


class DualAveraging:
    """A search for the argument at which the mean of noisy gradients is zero.

    Hoffman and Gelman (2014, section 3.2) use it for the logarithm of the step size.

    Args:
        prox_center: The iterates shrink towards it.
        t0: How much the first iterations are damped, positive.
        kappa: How fast the weight of old iterates decays, in ``(0.5, 1]``.
        gamma: How strongly the iterates shrink.

    Example:
        >>> search = DualAveraging(prox_center=1.0)
        >>> for _ in range(500):
        ...     search.step(search.get_state()[0] - 3.0)  # the gradient of (x - 3) ** 2 / 2
        >>> round(search.get_state()[1], 2)
        3.0
    """

    def __init__(
        self, prox_center: Number = 0, t0: float = T0, kappa: float = KAPPA, gamma: float = 0.05
    ) -> None:
        self.prox_center = prox_center
        self.t0 = t0
        self.kappa = kappa
        self.gamma = gamma
        self.reset()

    def reset(self) -> None:
        """Forget all gradients."""
        center = self.prox_center
        self._search = Search(center, center, 0.0, 0, center, self.gamma)

    def step(self, g: Number) -> None:
        """Move on with the gradient at the current iterate (Hoffman and Gelman 2014, eq. 6)."""
        search = self._search._replace(center=self.prox_center, gamma=self.gamma)
        self._search = update(search, g, self.t0, self.kappa)

    def get_state(self) -> tuple[Number, Number]:
        """Return the last iterate, and the average of all, which converges."""
        return self._search.x, self._search.x_mean
