"""Standard normal noise whose first two moments are exact."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_noise(number: int, like: Tensor) -> Tensor:
    """Return noise with mean zero, in pairs of both signs, and unit covariance where that can be.

    Averages of quadratic functions over it are exact, so that the ELBO of a normal has no error
    where the posterior is normal. With fewer pairs than dimensions only the mean is exact.

    Args:
        number: How many draws; an odd one has a draw at zero.
        like: A tensor ``(*batch, dim)`` of the dtype and device that are wanted.

    Returns:
        Shape ``(number, *batch, dim)``.

    Example:
        >>> noise = balanced_noise(8, torch.zeros(2, dtype=torch.float64))
        >>> (noise.mT @ noise / 8).abs().round(decimals=6)
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    pairs, dim = number // 2, like.shape[-1]
    half = torch.randn(*like.shape[:-1], pairs, dim, dtype=like.dtype, device=like.device)
    if pairs >= dim:
        root = torch.linalg.cholesky(half.mT @ half / (number / 2))
        half = torch.linalg.solve_triangular(root, half.mT, upper=False).mT
    half = half.movedim(-2, 0)
    return torch.cat([half, -half, torch.zeros_like(half[:1])[: number % 2]])
