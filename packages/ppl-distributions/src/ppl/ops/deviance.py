"""How much less likely a mean makes a count than the mean that fits it best."""

from __future__ import annotations

import torch
from torch import Tensor


def deviance(x: Tensor, mean: Tensor) -> Tensor:
    """Return ``x log(x / mean) + mean - x``, half the deviance of a Poisson count.

    Near its minimum 0 at ``mean = x`` the terms cancel; here the error is a rounding error of
    ``x - mean``. Log probabilities in terms of it are small where they matter (Loader 2000, "Fast
    and accurate computation of binomial probabilities").

    Args:
        x: Nonnegative; where it is 0, the value is ``mean``.
        mean: Nonnegative, broadcasts with ``x``; where it alone is 0, the value is infinite.

    Example:
        >>> deviance(torch.tensor([0.0, 2.0, 1e8]), torch.tensor([0.5, 2.0, 1.0001e8]))
        tensor([0.5000, 0.0000, 0.5000])
    """
    excess = x - mean
    near = excess.abs() < mean / 2
    relative = torch.where(near, excess, 0.0) / torch.where(near, mean, 1.0)
    positive = x > 0  # elsewhere 0 * log(0) means 0
    far = torch.where(positive, x, 1.0).log() - torch.where(positive, mean, 1.0).log()
    return x * torch.where(near, relative.log1p(), far) - excess


def deviance_of_count(count: Tensor, mean: Tensor) -> Tensor:
    """Return :func:`deviance` for less: one logarithm, and none of the count.

    The value is as exact. So is the slope in the mean, but where a count is less than 1e-8 of its
    mean, half of the digits of the slope in the count are lost. Where a mean of 0 makes a count
    impossible, the slope is taken to be 0; see :func:`ppl.ops.powers.log_power`.
    """
    limits = torch.finfo(mean.dtype)
    excess = count - mean
    # the mean is made a little larger, so that no logarithm of 0 is taken
    relative = excess / (mean * (1 + 4 * limits.eps)).clamp(min=limits.tiny)
    is_possible = (mean > 0) | (count == 0)
    return torch.where(is_possible, count * relative.log1p() - excess, torch.inf)
