"""Autocovariance and autocorrelation of series, by fast Fourier transform."""

from __future__ import annotations

import torch
from torch import Tensor


def autocorrelation(input: Tensor, dim: int = 0) -> Tensor:
    """Return the autocorrelation of a series at every lag.

    Args:
        input: Shape ``(*batch, n, *rest)``: series along ``dim``, the other dimensions are a batch.
        dim: The dimension of time.

    Returns:
        The shape of ``input``; entry ``k`` along ``dim`` belongs to lag ``k``, entry 0 is one. For
        a constant series all are one.
    """
    is_constant = (input == input.narrow(dim, 0, 1)).all(dim, keepdim=True)
    covariance = autocovariance(input, dim)
    return torch.where(is_constant, 1.0, covariance / covariance.narrow(dim, 0, 1))


def autocovariance(input: Tensor, dim: int = 0) -> Tensor:
    """Return the unbiased autocovariance of a series at every lag.

    The sum of products at lag ``k`` is divided by ``n - k``, so that lag 0 is the variance
    with divisor ``n``.

    Args:
        input: Shape ``(*batch, n, *rest)``: series along ``dim``, the other dimensions are a batch.
        dim: The dimension of time.

    Returns:
        The shape of ``input``; entry ``k`` along ``dim`` belongs to lag ``k``.

    Example:
        >>> autocovariance(torch.tensor([0.0, 2.0, 4.0, 6.0, 8.0]).double()).round(decimals=6)
        tensor([  8.0000,   4.0000,  -1.3333,  -8.0000, -16.0000], dtype=torch.float64)
    """
    series = input.movedim(dim, -1)
    length = series.shape[-1]
    num_terms = torch.arange(length, 0, -1, dtype=series.dtype, device=series.device)
    return (lagged_products(series) / num_terms).movedim(-1, dim)


def lagged_products(series: Tensor) -> Tensor:
    """Return the sums of products of deviations from the mean at every lag of the last dimension.

    Args:
        series: Shape ``(*batch, n)``.

    Returns:
        Shape ``(*batch, n)``; entry ``k`` is ``sum_t (x_t - mean) (x_{t+k} - mean)``.
    """
    length = series.shape[-1]
    deviation = series - series.mean(-1, keepdim=True)
    padded = 1 << (2 * length - 1).bit_length()  # without the padding the series would wrap around
    spectrum = torch.fft.rfft(deviation, n=padded)
    power = spectrum.real.square() + spectrum.imag.square()
    products: Tensor = torch.fft.irfft(power, n=padded)
    return products[..., :length]
