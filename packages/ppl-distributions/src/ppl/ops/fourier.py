"""Cosine transforms and convolutions, by fast Fourier transform."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor


def dct(x: Tensor, dim: int = -1) -> Tensor:
    """Return the orthonormal discrete cosine transform of type II.

    Args:
        x: Real, of any shape.
        dim: The dimension of the signal.

    Returns:
        The shape of ``x``; frequencies along ``dim``, lowest first (Makhoul 1980).

    Example:
        >>> dct(torch.ones(4)).round(decimals=6).abs()
        tensor([2., 0., 0., 0.])
    """
    x = x.movedim(dim, -1)
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    waves: Tensor = torch.fft.fft(folded) * _quarter_waves(x).conj()
    return (waves.real * _norms(x)).movedim(-1, dim)


def idct(x: Tensor, dim: int = -1) -> Tensor:
    """Return the inverse of :func:`dct`, the orthonormal cosine transform of type III.

    Args:
        x: Real, of any shape.
        dim: The dimension of the frequencies.
    """
    x = x.movedim(dim, -1)
    size = x.shape[-1]
    x = x / _norms(x)
    mirrored = torch.cat([torch.zeros_like(x[..., :1]), x[..., 1:].flip(-1)], -1)
    folded: Tensor = torch.fft.ifft(torch.complex(x, -mirrored) * _quarter_waves(x)).real
    position = torch.arange(size, device=x.device)
    place = torch.where(position % 2 == 0, position // 2, size - 1 - position // 2)
    return folded[..., place].movedim(-1, dim)


def _quarter_waves(x: Tensor) -> Tensor:
    """Return ``exp(i pi k / 2n)`` for each of ``n`` frequencies ``k``."""
    angle = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device) * (math.pi / 2 / x.shape[-1])
    return torch.polar(torch.ones_like(angle), angle)


def _norms(x: Tensor) -> Tensor:
    """Return the factors that make the transform orthonormal."""
    size = x.shape[-1]
    first = torch.arange(size, device=x.device) == 0
    return torch.where(first, x.new_tensor(1.0), math.sqrt(2)) / math.sqrt(size)


def next_fast_len(size: int) -> int:
    """Return the smallest length of at least ``size`` whose Fourier transform is fast.

    Such lengths have no prime factors but 2, 3 and 5.

    Example:
        >>> next_fast_len(7), next_fast_len(31)
        (8, 32)
    """
    import scipy.fft  # slow to import

    return int(scipy.fft.next_fast_len(size, real=True))


def convolve(
    signal: Tensor, kernel: Tensor, mode: Literal["full", "valid", "same"] = "full"
) -> Tensor:
    """Return the convolution of two signals along their last dimensions, as in ``numpy.convolve``.

    Args:
        signal: Shape ``(*batch, m)``.
        kernel: Shape ``(*batch, n)``.
        mode: ``"full"`` returns all ``m + n - 1`` sums of products; ``"valid"`` those of complete
            overlap, ``abs(m - n) + 1``; ``"same"`` the ``max(m, n)`` central ones.

    Raises:
        ValueError: If ``mode`` is none of these.

    Example:
        >>> convolve(torch.tensor([1.0, 2.0, 3.0]), torch.ones(2), mode="valid").round(decimals=5)
        tensor([3., 5.])
    """
    m, n = signal.shape[-1], kernel.shape[-1]
    lengths = {"full": m + n - 1, "valid": abs(m - n) + 1, "same": max(m, n)}
    if mode not in lengths:
        raise ValueError(f"convolve: expected mode 'full', 'valid' or 'same', got {mode!r}")
    padded = next_fast_len(m + n - 1)
    spectrum = torch.fft.rfft(signal, n=padded) * torch.fft.rfft(kernel, n=padded)
    start = (m + n - 1 - lengths[mode]) // 2
    result: Tensor = torch.fft.irfft(spectrum, n=padded)
    return result[..., start : start + lengths[mode]]


def as_complex(x: Tensor) -> Tensor:
    """Return the complex numbers of real and imaginary parts, ``(*batch, 2)`` to ``batch``."""
    return torch.view_as_complex(x.contiguous())
