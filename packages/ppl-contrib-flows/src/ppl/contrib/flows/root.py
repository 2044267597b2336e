"""The numerical inverse of increasing functions, with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Increasing = Callable[[Tensor], tuple[Tensor, Tensor]]  # x -> (value, log slope), elementwise

_REACH = 40.0  # roots are sought up to sinh(40), about 1e17, on either side
_BISECTIONS = 36  # to a relative 1e-9, from where one Newton step gets all digits of float64
_NEWTON_STEPS = 2


def increasing_root(function: Increasing, target: Tensor) -> Tensor:
    """Return where an increasing function reaches a target, elementwise.

    Bisection comes close whatever the function, and Newton's method adds the digits. Its steps are
    differentiated as they stand: one step from the root has the first derivative of the implicit
    function, and two have the first three, with respect to the target and to all that the
    function depends on. The number of evaluations is fixed, so that the search can be recorded.

    Args:
        function: Returns value and log slope at each argument. It may take more dimensions on the
            left than the target has.
        target: The value to reach, of any shape.
    Returns:
        The argument; nan where no argument up to 1e17 reaches the target.

    Example:
        >>> increasing_root(lambda x: (x**3 + x, (3 * x**2 + 1).log()), torch.tensor(10.0))
        tensor(2.)
    """
    with torch.no_grad():
        root = _bisect(function, target)
    for _ in range(_NEWTON_STEPS):
        value, log_slope = function(root)
        root = root - (value - target) * (-log_slope).exp()
    return root


def _bisect(function: Increasing, target: Tensor) -> Tensor:
    """Return a root to about nine digits, found on a scale on which all magnitudes are alike."""

    def is_below(place: Tensor) -> Tensor:
        value = function(place.sinh())[0]
        # what overflows to inf - inf lies, for an increasing function, on the side of its argument
        return torch.where(value.isnan(), place < 0, value < target)

    low, high = torch.full_like(target, -_REACH), torch.full_like(target, _REACH)
    is_reached = is_below(low) & ~is_below(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = is_below(middle)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(is_reached, ((low + high) / 2).sinh(), torch.nan)
