"""Optimizers as pure functions: state in, state out, nothing changed in place.

They hold no tensor and branch on no value, so a whole training step, the gradient included, can be
recorded, compiled or mapped over with ``torch.func``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

StepSize = float | Callable[[Tensor], Tensor]
Moments = tuple[Tensor, ...]
Rule = Callable[[Tensor, Moments, Tensor], tuple[Tensor, Moments]]


class OptimState(NamedTuple):
    """The state of an optimizer: a tuple of plain tensors."""

    num_updates: Tensor  # (), number of updates so far
    params: dict[str, Tensor]
    moments: tuple[dict[str, Tensor], ...]  # running means and the like, each shaped as the params


@dataclass(frozen=True)
class FunctionalOptim:
    """An optimizer that is three pure functions of its state.

    Attributes:
        step_size: The learning rate, or a function from the number of updates so far (a scalar
            tensor) to it.
        rule: From a gradient, the moments of its parameter and the number of this update, counted
            from one, to the direction of descent and the new moments.
        num_moments: How many moments a parameter has; all start at zero.

    Example:
        >>> optim = SGD(0.1)
        >>> state = optim.init({"x": torch.tensor(1.0)})
        >>> state = optim.update({"x": torch.tensor(2.0)}, state)
        >>> optim.get_params(state)
        {'x': tensor(0.8000)}
    """

    step_size: StepSize
    rule: Rule
    num_moments: int

    def init(self, params: Mapping[str, Tensor]) -> OptimState:
        """Return the state before the first update.

        Args:
            params: Unconstrained values by name; they are copied.
        """
        values = {name: value.detach().clone() for name, value in params.items()}
        device = next((value.device for value in values.values()), None)
        moments = tuple(
            {name: torch.zeros_like(value) for name, value in values.items()}
            for _ in range(self.num_moments)
        )
        return OptimState(torch.zeros((), device=device), values, moments)

    def update(self, g: Mapping[str, Tensor], state: OptimState) -> OptimState:
        """Return the state after one update; neither argument is changed.

        Args:
            g: Gradients by name, of all parameters.
            state: What :meth:`init` or the update before returned.
        """
        rate = self.step_size(state.num_updates) if callable(self.step_size) else self.step_size
        count = state.num_updates + 1
        params: dict[str, Tensor] = {}
        moments: tuple[dict[str, Tensor], ...] = tuple({} for _ in state.moments)
        for name, value in state.params.items():
            old = tuple(moment[name] for moment in state.moments)
            direction, new = self.rule(g[name], old, count)
            params[name] = (value - rate * direction).to(value.dtype)
            for kept, moment in zip(moments, new, strict=True):
                kept[name] = moment
        return OptimState(count, params, moments)

    def get_params(self, state: OptimState) -> dict[str, Tensor]:
        """Return the unconstrained values by name."""
        return state.params


def SGD(step_size: StepSize) -> FunctionalOptim:
    """Return stochastic gradient descent."""
    return FunctionalOptim(step_size, lambda gradient, moments, count: (gradient, moments), 0)


def Momentum(step_size: StepSize, mass: float = 0.9) -> FunctionalOptim:
    """Return gradient descent with momentum: the direction is a decaying sum of gradients.

    Args:
        step_size: The learning rate.
        mass: What is kept of the direction at each update.
    """

    def rule(gradient: Tensor, moments: Moments, count: Tensor) -> tuple[Tensor, Moments]:
        velocity = mass * moments[0] + gradient
        return velocity, (velocity,)

    return FunctionalOptim(step_size, rule, 1)


def Adam(
    step_size: StepSize = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> FunctionalOptim:
    """Return Adam (Kingma and Ba 2015, algorithm 1).

    Args:
        step_size: The learning rate.
        b1: Decay rate of the mean of gradients.
        b2: Decay rate of the mean of their squares.
        eps: Added to the root of the latter.
    """

    def rule(gradient: Tensor, moments: Moments, count: Tensor) -> tuple[Tensor, Moments]:
        mean = b1 * moments[0] + (1 - b1) * gradient
        square = b2 * moments[1] + (1 - b2) * gradient.square()
        unbiased_mean = mean / _one_minus_power(b1, count, mean)
        unbiased_square = square / _one_minus_power(b2, count, square)
        return unbiased_mean / (unbiased_square.sqrt() + eps), (mean, square)

    return FunctionalOptim(step_size, rule, 2)


def Adagrad(step_size: StepSize, momentum: float = 0.9, eps: float = 1e-10) -> FunctionalOptim:
    """Return Adagrad (Duchi et al. 2011) with a running mean of its directions.

    Args:
        step_size: The learning rate.
        momentum: Decay rate of the mean of directions; 0 is plain Adagrad.
        eps: Added to the root of the sum of squares.
    """

    def rule(gradient: Tensor, moments: Moments, count: Tensor) -> tuple[Tensor, Moments]:
        total = moments[0] + gradient.square()
        direction = momentum * moments[1] + (1 - momentum) * gradient / (total.sqrt() + eps)
        return direction, (total, direction)

    return FunctionalOptim(step_size, rule, 2)


def RMSProp(step_size: StepSize, gamma: float = 0.9, eps: float = 1e-8) -> FunctionalOptim:
    """Return RMSProp (Tieleman and Hinton 2012).

    Args:
        step_size: The learning rate.
        gamma: Decay rate of the mean of squared gradients.
        eps: Added to its root.
    """

    def rule(gradient: Tensor, moments: Moments, count: Tensor) -> tuple[Tensor, Moments]:
        square = gamma * moments[0] + (1 - gamma) * gradient.square()
        return gradient / (square.sqrt() + eps), (square,)

    return FunctionalOptim(step_size, rule, 1)


def _one_minus_power(base: float, count: Tensor, like: Tensor) -> Tensor:
    # expm1, since 1 - 0.999**count loses the digits of the first updates in float32
    log = math.log(base) if base > 0 else -math.inf
    return -torch.expm1(count.to(like.dtype) * log)
