"""Logarithms of powers, where an impossible event that does not occur costs nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold


def log_power(exponent: Tensor, base: Tensor) -> Tensor:
    """Return ``exponent * log(base)`` of nonnegative numbers, which is 0 for ``0 ** 0``.

    The slope in a base of 0 is taken to be 0: that of ``0 ** 0``. That of another power is infinite
    and would turn into nan where the result has weight 0, as in a sum over enumerated values.

    Example:
        >>> log_power(torch.tensor([0.0, 1.0]), torch.tensor(0.0))
        tensor([0., -inf])
    """
    # relu changes no nonnegative number; its derivative at 0 is 0, and hides that of the logarithm
    return torch.xlogy(exponent, base.relu())


def log_power_of_rest(exponent: Tensor, base: Tensor) -> Tensor:
    """Return ``exponent * log(1 - base)`` for a base up to 1, with all digits of small bases.

    What :func:`log_power` says of 0 ** 0 and of slopes holds at a base of 1.
    """
    log_power: Tensor = torch.special.xlog1py(exponent, threshold(-base, -1.0, -1.0))
    return log_power


def log_nonnegative(x: Tensor) -> Tensor:
    """Return ``log(x)``, -inf with slope 0 at 0; see :func:`log_power`."""
    return x.relu().log()


def log_rest(x: Tensor) -> Tensor:
    """Return ``log(1 - x)`` for ``x`` up to 1, -inf with slope 0 at 1; see :func:`log_power`."""
    return threshold(-x, -1.0, -1.0).log1p()


def multiply_log(exponent: Tensor, log_base: Tensor) -> Tensor:
    """Return ``exponent * log_base``, which is 0 for 0 times -inf.

    Example:
        >>> multiply_log(torch.tensor([0.0, 2.0]), torch.tensor(-torch.inf))
        tensor([0., -inf])
    """
    return exponent * torch.where(exponent == 0, 0.0, log_base)
