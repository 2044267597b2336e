"""The Haar wavelet transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def haar_transform(x: Tensor) -> Tensor:
    """Return the orthonormal Haar transform of signals along the last dimension.

    Args:
        x: Shape ``(*batch, n)``; at each level an unpaired last entry stays as it is.

    Returns:
        Shape ``(*batch, n)``, from coarse to fine (Haar 1910).

    Example:
        >>> haar_transform(torch.tensor([1.0, 1.0, 1.0, 1.0]))
        tensor([2., 0., 0., 0.])
    """
    details: list[Tensor] = []
    while x.shape[-1] > 1:
        even = x.shape[-1] // 2 * 2
        first, second = x[..., 0:even:2], x[..., 1:even:2]
        details.insert(0, torch.cat([(first - second) / math.sqrt(2), x[..., even:]], -1))
        x = (first + second) / math.sqrt(2)
    return torch.cat([x, *details], -1)


def inverse_haar_transform(x: Tensor) -> Tensor:
    """Return the inverse of :func:`haar_transform`.

    Args:
        x: Shape ``(*batch, n)``.
    """
    sizes = [x.shape[-1]]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    coarse = x[..., : sizes[-1]]
    for size in reversed(sizes[:-1]):
        pairs = size // 2
        detail, unpaired = x[..., pairs : 2 * pairs], x[..., 2 * pairs : size]
        both = torch.stack([coarse + detail, coarse - detail], -1) / math.sqrt(2)
        coarse = torch.cat([both.flatten(-2), unpaired], -1)
    return coarse
