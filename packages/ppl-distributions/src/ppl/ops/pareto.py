"""Pareto smoothing of importance weights.

References:
    Zhang, Stephens (2009), "A new and efficient estimation method for the generalized Pareto
    distribution", Technometrics 51(3).

    Vehtari, Simpson, Gelman, Yao, Gabry (2024), "Pareto smoothed importance sampling", JMLR 25(72).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.errors import ShapeError

_MIN_TAIL = 5  # the fewest weights that a tail is fitted to
_ROUNDING = 1e-8  # of the largest weight: smaller differences have no distribution to fit


def psis(
    log_weights: Tensor, dim: int = 0, relative_efficiency: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return importance weights with a smoothed tail, and the diagnostic ``k``.

    The largest weights are replaced by quantiles of a generalized Pareto distribution that is
    fitted to them, and none exceeds the largest raw weight (Vehtari et al. 2024, section 2).

    Args:
        log_weights: Logarithms of weights along ``dim``, up to a constant; the other dimensions are
            a batch.
        dim: The dimension of the draws.
        relative_efficiency: Effective sample size of the draws over their number, for draws of a
            Markov chain.

    Returns:
        Logarithms of smoothed weights that sum to one, shaped as ``log_weights``; and ``k``, shaped
        so without ``dim``. Estimates are reliable for ``k < 0.7``. It is inf where there are too
        few draws for a fit, and -inf for weights that are all equal, but for rounding.

    Example:
        >>> draws = torch.randn(1000, generator=torch.Generator().manual_seed(0)).double()
        >>> log_weights, k = psis(-(draws**2) / 4)  # to a normal with less variance
        >>> bool(k < 0.7)
        True
    """
    raw = log_weights.movedim(dim, -1)
    raw = raw - raw.amax(-1, keepdim=True)
    size = _tail_size(raw.shape[-1], relative_efficiency)
    if size < _MIN_TAIL:
        return raw.log_softmax(-1).movedim(-1, dim), raw.new_full(raw.shape[:-1], math.inf)
    largest, places = raw.topk(size + 1, -1)
    tail, cutoff = largest[..., :-1].flip(-1).exp(), largest[..., -1:].exp()  # ascending
    smoothed, k = _smooth(tail, cutoff)
    result = raw.scatter(-1, places[..., :-1].flip(-1), smoothed.log())
    return result.log_softmax(-1).movedim(-1, dim), k


def fit_generalized_pareto(X: Tensor) -> tuple[float, float]:
    """Return shape ``k`` and scale ``sigma`` of a generalized Pareto distribution.

    Args:
        X: Positive draws, shape ``(n,)``.

    Raises:
        ShapeError: If there is not one dimension with draws.

    Example:
        >>> u = (torch.arange(1000.0) + 0.5) / 1000
        >>> k, sigma = fit_generalized_pareto(2 * (u**-0.5 - 1) / 0.5)
        >>> round(k, 1), round(sigma, 1)
        (0.5, 2.0)
    """
    if X.dim() != 1 or len(X) == 0:
        raise ShapeError(f"X must have shape (n,) with n >= 1, got {tuple(X.shape)}")
    k, sigma = _fit(X.double().sort().values)
    return float(k), float(sigma)


def _tail_size(num_draws: int, relative_efficiency: float) -> int:
    return math.ceil(min(num_draws / 5, 3 * math.sqrt(num_draws / relative_efficiency)))


def _smooth(tail: Tensor, cutoff: Tensor) -> tuple[Tensor, Tensor]:
    """Return quantiles in place of the ascending ``tail`` of weights, and the shape of the tail."""
    excess = tail - cutoff
    constant = excess[..., -1] <= _ROUNDING
    k, sigma = _fit(torch.where(constant.unsqueeze(-1), torch.ones_like(excess), excess))
    size = tail.shape[-1]
    levels = torch.arange(0.5, size, dtype=tail.dtype, device=tail.device) / size
    quantiles = _quantile(levels, k.unsqueeze(-1), sigma.unsqueeze(-1))
    smoothed = torch.where(constant.unsqueeze(-1), tail, (cutoff + quantiles).clamp(max=1))
    return smoothed, torch.where(constant, -math.inf, k)


def _fit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return shape and scale of ascending draws ``(*batch, n)``.

    The estimate of Zhang and Stephens (2009, section 4), whose ``k`` has the other sign, is shrunk
    towards 0.5 as by ten draws (Vehtari et al. 2024, appendix G).
    """
    n = x.shape[-1]
    m = 30 + math.isqrt(n)
    j = torch.arange(1, m + 1, dtype=x.dtype, device=x.device)
    middle = math.floor(n / 4 + 0.5)
    smallest = torch.finfo(x.dtype).eps * x[..., -1:]  # draws that equal the cutoff are zero
    quartile = torch.maximum(x[..., middle - 1 : middle], smallest)
    theta = 1 / x[..., -1:] + (1 - (m / (j - 0.5)).sqrt()) / (3 * quartile)  # (*batch, m)
    k = torch.log1p(-theta.unsqueeze(-1) * x.unsqueeze(-2)).mean(-1)
    log_likelihood = n * ((-theta / k).log() - k - 1)
    theta_mean = (theta * log_likelihood.softmax(-1)).sum(-1, keepdim=True)
    shape = torch.log1p(-theta_mean * x).mean(-1)
    scale = -shape / theta_mean.squeeze(-1)
    return (n * shape + 5) / (n + 10), scale


def _quantile(level: Tensor, k: Tensor, sigma: Tensor) -> Tensor:
    """Return ``sigma * ((1 - level)**-k - 1) / k``, also for a ``k`` near zero."""
    exponent = -torch.log1p(-level)
    tiny = k.abs() < torch.finfo(k.dtype).eps
    safe = torch.where(tiny, 1.0, k)
    return sigma * torch.where(tiny, exponent, torch.expm1(safe * exponent) / safe)
