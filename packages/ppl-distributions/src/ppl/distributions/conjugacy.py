"""Products of densities of one exponential family."""

from __future__ import annotations

from torch import Tensor


def multiply_dirichlets(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the concentration of a product of Dirichlet densities, and its log normalizer.

    Args:
        first: Concentrations of one density, shape ``(*batch, k)``.
        second: Those of the other one.
    """
    product = first + second - 1
    return product, _log_beta(product) - _log_beta(first) - _log_beta(second)


def multiply_gammas(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return concentration and rate of a product of gamma densities, and its log normalizer.

    Args:
        first: Concentration and rate of one density.
        second: Those of the other one.
    """
    product = first[0] + second[0] - 1, first[1] + second[1]
    log_normalizer = _log_gamma(*product) - _log_gamma(*first) - _log_gamma(*second)
    return *product, log_normalizer


def _log_beta(concentration: Tensor) -> Tensor:
    """Return the log of the multivariate beta function."""
    return concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()


def _log_gamma(concentration: Tensor, rate: Tensor) -> Tensor:
    """Return the log of the integral of an unnormalized gamma density."""
    return concentration.lgamma() - concentration * rate.log()
