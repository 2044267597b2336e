"""Functions divided by their argument, where both vanish together."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_log1p(x: Tensor) -> Tensor:
    """Return ``log1p(x) / x``; the series avoids 0 / 0, also in the gradient."""
    small = x.abs() < 1e-4
    safe = torch.where(small, 1.0, x)
    return torch.where(small, 1 - x / 2 + x * x / 3, safe.log1p() / safe)


def relative_expm1(x: Tensor) -> Tensor:
    """Return ``expm1(x) / x``; the series avoids 0 / 0, also in the gradient."""
    small = x.abs() < 1e-4
    safe = torch.where(small, 1.0, x)
    return torch.where(small, 1 + x / 2 + x * x / 6, safe.expm1() / safe)
