"""Factorials relative to Stirling's formula.

``lgamma`` of a large number is far larger than what a log density needs of it, so that differences
of it lose all digits. The functions here are the small rest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGE = 4096.0  # from here on the series is exact, and below lgamma loses three digits at most


def log_factorial_rest(z: Tensor) -> Tensor:
    """Return ``log(z!) - (z log(z) - z)``, with ``z! = Gamma(z + 1)``.

    It is 0 at 0 and grows like ``log(2 pi z) / 2``. For large ``z`` this is the series
    ``log(2 pi z) / 2 + 1 / (12 z) - ...`` (DLMF, eq. 5.11.1), whose error is below ``1e-3 / z**5``.

    Args:
        z: Nonnegative.

    Example:
        >>> log_factorial_rest(torch.tensor([0.0, 1.0, 1e10]))
        tensor([ 0.0000,  1.0000, 12.4319])
    """
    log = z.clamp(min=torch.finfo(z.dtype).tiny).log()
    inverse = 1 / z.clamp(min=LARGE)
    small = (z + 1).lgamma() - z * log + z
    large = (log + math.log(2 * math.pi)) / 2 + inverse * (1 / 12 - inverse * inverse / 360)
    return torch.where(z < LARGE, small, large)


def minus_log_gamma_rest(z: Tensor) -> Tensor:
    """Return ``z log(z) - z - log(Gamma(z))``, what remains of ``-lgamma`` beside a deviance."""
    return z.log() - log_factorial_rest(z)


def log_gamma_ratio(z: Tensor, shift: Tensor) -> Tensor:
    """Return ``log(Gamma(z + shift) / Gamma(z))`` less its leading term ``shift * log(z)``.

    The rest is near ``shift * (shift - 1) / (2 z)`` for large ``z``.

    Args:
        z: Positive.
        shift: Nonnegative, broadcasts with ``z``.

    Example:
        >>> log_gamma_ratio(torch.tensor(1e7).double(), torch.tensor(0.5).double())
        tensor(-1.2500e-08, dtype=torch.float64)
    """
    growth: Tensor = torch.special.xlog1py(z + shift - 1, shift / z) - shift
    return growth + log_factorial_rest(z + shift) - log_factorial_rest(z)


def digamma_rest(z: Tensor) -> Tensor:
    """Return ``digamma(z) - log(z)`` for positive ``z`` (DLMF, eq. 5.11.2)."""
    inverse = 1 / z.clamp(min=LARGE)
    large = -inverse * (inverse / 12 + 0.5)
    return torch.where(z < LARGE, z.digamma() - z.log(), large)
