"""Student's t distribution over vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.util import broadcast_shape

from . import saddle_point
from .expansion import expand_parameters
from .noise import standard_gamma, standard_normal
from .sizes import require_one_size


class MultivariateStudentT(TorchDistribution):
    """Normal vector over the root of an independent chi-squared variable over its ``df``.

    Args:
        df: Degrees of freedom, positive, shape ``batch``.
        loc: Location, shape ``(*batch, n)``.
        scale_tril: Lower triangular scale with a positive diagonal, shape ``(*batch, n, n)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support: constraints.Constraint = constraints.real_vector

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor,
        scale_tril: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        require_one_size(self, loc, scale_tril=scale_tril)
        df = torch.as_tensor(df, dtype=loc.dtype, device=loc.device)
        size = scale_tril.shape[-1:]
        batch_shape = torch.Size(broadcast_shape(df.shape, loc.shape[:-1], scale_tril.shape[:-2]))
        self.df: Tensor = df.expand(batch_shape)
        self.loc: Tensor = loc.expand(batch_shape + size)
        self._unbroadcasted_scale_tril = scale_tril
        super().__init__(batch_shape, size, validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls, df: tuple[int, ...], loc: tuple[int, ...], scale_tril: tuple[int, ...]
    ) -> tuple[torch.Size, torch.Size]:
        event_shape = broadcast_shape(loc[-1:], scale_tril[-1:])
        return torch.Size(broadcast_shape(df, loc[:-1], scale_tril[:-2])), torch.Size(event_shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @property
    def scale_tril(self) -> Tensor:
        """Lower triangular scale, shape ``(*batch, n, n)``."""
        return self._unbroadcasted_scale_tril.expand(self.batch_shape + 2 * self.event_shape)

    @property
    def covariance_matrix(self) -> Tensor:
        """Scale matrix ``scale_tril @ scale_tril.T``, shape ``(*batch, n, n)``.

        It is the inverse of :attr:`precision_matrix`. The covariance of the vector is
        ``df / (df - 2)`` times as large; its diagonal is :attr:`variance`.
        """
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """Inverse of ``scale_tril @ scale_tril.T``, shape ``(*batch, n, n)``."""
        return torch.cholesky_inverse(self.scale_tril)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        half_chi2 = standard_gamma((self.df / 2).expand(shape[:-1]))
        ratio = (self.df / 2 / half_chi2).sqrt().unsqueeze(-1)
        noise = standard_normal(shape, self.loc).unsqueeze(-1)
        return self.loc + (self._unbroadcasted_scale_tril @ noise).squeeze(-1) * ratio

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        residual = (value - self.loc).unsqueeze(-1)
        scale_tril = self._unbroadcasted_scale_tril
        whitened = torch.linalg.solve_triangular(scale_tril, residual, upper=False).squeeze(-1)
        log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return saddle_point.multivariate_student_t(whitened, self.df) - log_det

    @property
    def mean(self) -> Tensor:
        """Location where ``df > 1``, else nan."""
        return torch.where((self.df > 1).unsqueeze(-1), self.loc, torch.nan)

    @property
    def variance(self) -> Tensor:
        """Variance of each component, infinite for ``1 < df <= 2`` and nan below."""
        return self.scale_tril.square().sum(-1) * _inflation(self.df).unsqueeze(-1)


def _inflation(df: Tensor) -> Tensor:
    """Return the variance of a standard t variable."""
    finite = df / torch.where(df > 2, df - 2, 1.0)
    return torch.where(df > 1, torch.where(df > 2, finite, torch.inf), torch.nan)
