"""Multivariate normal distributions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.errors import ShapeError
from ppl.ops.cholesky import nan_cholesky, precision_to_scale_tril
from ppl.ops.normal_energy import normal_energy

from .noise import standard_normal
from .sizes import require_one_size


class MultivariateNormal(torch.distributions.MultivariateNormal, TorchDistributionMixin):
    """Normal over vectors with mean ``loc`` and one of three matrices, ``(*batch, n, n)``.

    ``scale_tril`` is the cheapest: a lower triangular factor of the covariance. Without validation
    a ``covariance_matrix`` or ``precision_matrix`` that is not positive definite gives a density
    of nan instead of an exception.
    """

    covariance_matrix: Tensor
    precision_matrix: Tensor
    _given_covariance: Tensor | None = None

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        checked = self._validate_args if validate_args is None else validate_args
        matrices = (covariance_matrix, precision_matrix, scale_tril)
        require_one_size(
            self,
            loc,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if checked or scale_tril is not None or matrices.count(None) != 2:
            super().__init__(loc, *matrices, validate_args)
        elif covariance_matrix is not None:
            self._init_from_factor(loc, nan_cholesky(covariance_matrix))
            self.covariance_matrix = covariance_matrix.expand(self.scale_tril.shape)
        elif precision_matrix is not None:
            self._init_from_factor(loc, precision_to_scale_tril(precision_matrix))
            self.precision_matrix = precision_matrix.expand(self.scale_tril.shape)
        self._given_covariance = covariance_matrix

    def _init_from_factor(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(MultivariateNormal, _instance)
        new._given_covariance = self._given_covariance
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        covariance, scale_tril = self._given_covariance, self._unbroadcasted_scale_tril
        if covariance is not None:
            if self._validate_args:
                self._validate_sample(value)
            deviation = value - self.loc
            if deviation.shape[:-1] == scale_tril.shape[:-2]:
                constant = 0.5 * deviation.shape[-1] * math.log(2 * math.pi)
                return -constant - normal_energy(deviation, covariance, scale_tril)
        if not value.numel():
            return _log_prob_of_none(self, value)
        log_prob: Tensor = super().log_prob(value)  # several vectors may share a matrix
        return log_prob

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)


class LowRankMultivariateNormal(
    torch.distributions.LowRankMultivariateNormal, TorchDistributionMixin
):
    """Normal over vectors with covariance ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Args:
        loc: Mean, shape ``(*batch, n)``.
        cov_factor: Shape ``(*batch, n, rank)``.
        cov_diag: Positive, shape ``(*batch, n)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If the shapes do not fit together.
    """

    cov_factor: Tensor

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        sizes = (loc.shape[-1:], cov_factor.shape[-2:-1], cov_diag.shape[-1:])
        if len(set(sizes)) > 1 or not sizes[0]:
            raise ShapeError(
                "LowRankMultivariateNormal: expected loc (*batch, n), cov_factor (*batch, n, rank) "
                f"and cov_diag (*batch, n), got {tuple(loc.shape)}, {tuple(cov_factor.shape)} and "
                f"{tuple(cov_diag.shape)}"
            )
        column, self.cov_factor, diagonal = torch.broadcast_tensors(
            loc.unsqueeze(-1), cov_factor, cov_diag.unsqueeze(-1)
        )
        self.loc: Tensor = column[..., 0]
        self.cov_diag: Tensor = diagonal[..., 0]
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = _capacitance_tril(cov_factor, cov_diag)
        torch.distributions.Distribution.__init__(
            self, self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(LowRankMultivariateNormal, _instance)
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        if not value.numel():
            return _log_prob_of_none(self, value)
        log_prob: Tensor = super().log_prob(value)
        return log_prob

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        factors = standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc)
        shared: Tensor = (self._unbroadcasted_cov_factor @ factors.unsqueeze(-1)).squeeze(-1)
        own: Tensor = self._unbroadcasted_cov_diag.sqrt() * standard_normal(shape, self.loc)
        x: Tensor = self.loc + shared + own
        return x


def _log_prob_of_none(dist: Any, value: Tensor) -> Tensor:
    """Return the density of no vectors, whose number torch would divide by."""
    if dist._validate_args:
        dist._validate_sample(value)
    density: Tensor = (value - dist.loc).sum(-1)
    return density


def _capacitance_tril(cov_factor: Tensor, cov_diag: Tensor) -> Tensor:
    """Return the Cholesky factor of ``I + W^T D^-1 W`` (the matrix inversion lemma)."""
    weighted = cov_factor.mT / cov_diag.unsqueeze(-2)
    eye = torch.eye(cov_factor.shape[-1], dtype=cov_factor.dtype, device=cov_factor.device)
    return nan_cholesky(eye + weighted @ cov_factor)
