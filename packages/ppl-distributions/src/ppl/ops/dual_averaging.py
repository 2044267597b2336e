"""Dual averaging: stochastic approximation that settles (Nesterov 2009)."""

from __future__ import annotations

from torch import Tensor

Number = float | Tensor


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
        self, prox_center: Number = 0, t0: float = 10, kappa: float = 0.75, gamma: float = 0.05
    ) -> None:
        self.prox_center = prox_center
        self.t0 = t0
        self.kappa = kappa
        self.gamma = gamma
        self.reset()

    def reset(self) -> None:
        """Forget all gradients."""
        self._num_steps = 0
        self._gradient_mean: Number = 0.0
        self._x = self._x_mean = self.prox_center

    def step(self, g: Number) -> None:
        """Move on with the gradient at the current iterate (Hoffman and Gelman 2014, eq. 6)."""
        self._num_steps += 1
        t = self._num_steps
        self._gradient_mean = self._gradient_mean + (g - self._gradient_mean) / (t + self.t0)
        self._x = self.prox_center - t**0.5 / self.gamma * self._gradient_mean
        self._x_mean = self._x_mean + t**-self.kappa * (self._x - self._x_mean)

    def get_state(self) -> tuple[Number, Number]:
        """Return the last iterate, and the average of all, which converges."""
        return self._x, self._x_mean
