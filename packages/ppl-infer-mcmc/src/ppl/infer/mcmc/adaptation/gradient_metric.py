"""Metrics that are learnt from draws and the gradients there.

The inverse mass is the matrix in whose metric draws and gradients have the same covariance: it
minimizes the Fisher divergence between the posterior and a normal distribution with this covariance
(Seyboldt, Carlson & Carpenter 2024, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
divergence").  For a normal target with independent coordinates it is exact after two draws, from
wherever these come.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation import welford
from ppl.infer.mcmc.adaptation.welford import Moments

CUTOFF = 2.0  # eigenvalues within this factor of 1 count as 1


def of_start(gradient: Tensor) -> Tensor:
    """Return variances that gradients at starting points suggest, both ``(chain, dim)``.

    One point at a distance of about 1 from the mean: the ratio of the two spreads is the reciprocal
    of the gradient.  A gradient that is small by chance counts as a hundredth of the largest.
    """
    size = gradient.abs()
    largest = size.amax(-1, keepdim=True)
    return _usable(size.maximum(0.01 * largest).reciprocal(), torch.ones_like(size))


def variance(draws: Moments, gradients: Moments, otherwise: Tensor, few: int = 2) -> Tensor:
    """Return the variances that draws and gradients tell of, ``(chain, dim)``.

    Args:
        draws: Moments of draws, with variances only.
        gradients: Those of the gradients there.
        otherwise: What it is where there are less than `few` draws, or all are alike.
        few: A number of draws.
    """
    ratio = (draws.scatter / gradients.scatter).sqrt()
    return _usable(ratio.where(draws.num_draws[:, None] >= few, torch.nan), otherwise)


def _usable(variance: Tensor, otherwise: Tensor) -> Tensor:
    return variance.where(variance.isfinite() & (variance > 0), otherwise)


def low_rank(draws: Moments, gradients: Moments, before: Tensor) -> Tensor:
    """Return a diagonal matrix plus one of low rank, ``(chain, dim, dim)``, learnt in float64.

    It is the geometric mean of the covariance of the draws and of the inverse of that of the
    gradients, of which only those eigenvalues are kept that are far from 1 in the scale of the
    variances.  Both covariances are shrunk: the fewer the draws, the more the correlations are
    those of the metric before.

    Args:
        draws: Moments of draws, with covariances.
        gradients: Those of the gradients there.
        before: The inverse mass before; it stays where there are too few draws, or numbers that
            have not moved.
    """
    number = draws.num_draws.double()[:, None, None]
    covariances = torch.stack([welford.covariance(x).double() for x in (draws, gradients)])
    usable = _moves(covariances) & (number >= 2)
    unit = torch.eye(before.shape[-1], dtype=torch.float64, device=before.device)
    of_draws, of_gradients = covariances.where(usable, unit)
    ratio = of_draws.diagonal(dim1=-2, dim2=-1) / of_gradients.diagonal(dim1=-2, dim2=-1)
    scale = ratio.pow(0.25)[:, :, None]
    factor = scale * _root(_correlation(before.double()), unit)
    whitened = torch.linalg.solve_triangular(factor, of_draws, upper=False)
    whitened = torch.linalg.solve_triangular(factor, whitened.mT, upper=False)
    mean = _geometric_mean(
        _shrunk(whitened, number), _shrunk(factor.mT @ of_gradients @ factor, number)
    )
    found = _truncated(factor @ mean @ factor.mT, scale * scale.mT)
    return found.to(before).where(usable, before)


def _root(matrix: Tensor, otherwise: Tensor) -> Tensor:
    """Return Cholesky factors; those of what is not positive definite after rounding are others."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    usable: Tensor = factor.where((info == 0)[:, None, None], otherwise)
    return usable


def _correlation(matrix: Tensor) -> Tensor:
    scale: Tensor = matrix.diagonal(dim1=-2, dim2=-1).rsqrt()[:, :, None]
    return scale * matrix * scale.mT


def _moves(covariances: Tensor) -> Tensor:
    """Return whether all numbers and gradients of a chain have moved, bool ``(chain, 1, 1)``."""
    spread = covariances.diagonal(dim1=-2, dim2=-1)
    moves: Tensor = (spread > 0).all(-1) & covariances.isfinite().flatten(2).all(-1)
    return moves.all(0)[:, None, None]


def _truncated(inverse: Tensor, outer: Tensor) -> Tensor:
    """Return a matrix with the eigenvalues in this scale that are far from 1; others are 1."""
    values, vectors = torch.linalg.eigh(inverse / outer)
    values = values.where((values > CUTOFF) | (values < 1 / CUTOFF), 1.0)
    found: Tensor = outer * ((vectors * values[:, None, :]) @ vectors.mT)
    return (found + found.mT) / 2


def _geometric_mean(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix ``x`` with ``x @ b @ x = a``."""
    root, inverse_root = _powers(b)
    middle, _ = _powers(root @ a @ root)
    return inverse_root @ middle @ inverse_root


def _powers(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp(min=0.0).sqrt()[:, None, :]
    return (vectors * root) @ vectors.mT, (vectors / root) @ vectors.mT


def _shrunk(covariance: Tensor, number: Tensor) -> Tensor:
    """Return covariances shrunk towards a multiple of the unit matrix (Chen et al. 2010, OAS)."""
    dim = covariance.shape[-1]
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    squared = covariance.square().sum((-2, -1), keepdim=True)
    excess = (number + 1 - 2 / dim) * (squared - trace**2 / dim)
    weight = (((1 - 2 / dim) * squared + trace**2) / excess).nan_to_num(1.0).clamp(0.0, 1.0)
    unit = torch.eye(dim, dtype=covariance.dtype, device=covariance.device)
    return torch.lerp(covariance, trace / dim * unit, weight)
