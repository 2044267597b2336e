"""The numerical inverse of increasing functions, with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Increasing = Callable[[Tensor], tuple[Tensor, Tensor]]  # x -> (value, log slope), elementwise

_REACH = 40.0  # roots are sought up to sinh(40), about 1e17, on either side
_BISECTIONS = 36  # to a relative 1e-9, from where one Newton step gets all digits of float64
_NEWTON_STEPS = 2


def increasing_root(
    function: Increasing, target: Tensor, value: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return where an increasing function reaches a target, elementwise.

    Bisection comes close whatever the function, and Newton's method adds the digits. Its steps are
    differentiated as they stand: one step from the root has the first derivative of the implicit
    function, and two have the first three, with respect to the target and to all that the
    function depends on. The number of evaluations is fixed, so that the search can be recorded.

    Args:
        function: Returns value and log slope at each argument. It may take more dimensions on the
            left than the target has.
        target: The value to reach, of any shape.
        value: The value alone, where that costs less.
    Returns:
        The argument; nan where no argument up to 1e17 reaches the target.

    Example:
        >>> increasing_root(lambda x: (x**3 + x, (3 * x**2 + 1).log()), torch.tensor(10.0))
        tensor(2.)
    """
    with torch.no_grad():
        root = _bisect(value or (lambda x: function(x)[0]), target)
    for _ in range(_NEWTON_STEPS):
        got, log_slope = function(root)
        root = root - (got - target) * (-log_slope).exp()
    return root


def _bisect(function: Callable[[Tensor], Tensor], target: Tensor) -> Tensor:
    """Return a root to about nine digits, found on a scale on which all magnitudes are alike."""
    place, step = torch.zeros_like(target), _REACH
    for _ in range(_BISECTIONS):
        step = step / 2
        excess = function(place.sinh()) - target
        # what overflows to inf - inf lies, for an increasing function, on the side of its argument
        place = place - step * torch.where(excess.isnan(), place, excess).sign()
    is_reached = place.abs() < 0.99 * _REACH  # else all steps led to the same end
    return torch.where(is_reached, place.sinh(), torch.nan)
