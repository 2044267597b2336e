"""Normal distributions that leave out missing observations, marked by nan."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .multivariate_normal import MultivariateNormal
from .real_line import Normal


class NanMaskedNormal(Normal):
    """Normal for which a nan observation has log density 0.

    Example:
        >>> NanMaskedNormal(0.0, 1.0).log_prob(torch.tensor([math.nan, 0.0]))
        tensor([ 0.0000, -0.9189])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        observed = value == value
        density = super().log_prob(torch.where(observed, value, 0.0))
        return torch.where(observed, density, 0.0)


class NanMaskedMultivariateNormal(MultivariateNormal):
    """Multivariate normal that integrates nan entries of an observation out.

    The rest is scored by the marginal density of what was observed. Each observation has its own
    pattern and so its own triangular factor: ``O(n^3)`` a vector, where the plain
    :class:`MultivariateNormal` takes ``O(n^2)``.

    Example:
        >>> d = NanMaskedMultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> d.log_prob(torch.tensor([[math.nan, 0.0], [0.0, 0.0]]))
        tensor([-0.9189, -1.8379])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        observed = value == value
        residual = torch.where(observed, value - self.loc, 0.0)
        if self._validate_args:
            self._validate_sample(residual)
        scale_tril = _marginal_factor(self._unbroadcasted_scale_tril, observed)
        whitened: Tensor = torch.linalg.solve_triangular(
            scale_tril, residual.unsqueeze(-1), upper=False
        ).squeeze(-1)
        log_det = scale_tril.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        log_normalizer = observed.to(log_det).sum(-1) * (math.log(2 * math.pi) / 2)
        return -whitened.square().sum(-1) / 2 - log_det - log_normalizer


def _marginal_factor(scale_tril: Tensor, observed: Tensor) -> Tensor:
    """Return a triangular factor of the covariance with missing entries made independent.

    Their rows and columns become those of the identity, which cost nothing. The factor comes from
    the rows of the given one by a QR decomposition: their product would square the condition.
    """
    rows = torch.where(observed.unsqueeze(-2), scale_tril.mT, 0.0)  # (*batch, n, n), as columns
    missing = torch.diag_embed((~observed).to(rows)).expand(rows.shape)
    upper: Tensor = torch.linalg.qr(torch.cat([rows, missing], -2)).R
    return upper.mT
