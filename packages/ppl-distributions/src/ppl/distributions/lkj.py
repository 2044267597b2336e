"""Random correlation matrices."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution, TorchDistributionMixin

from . import constraints, saddle_point
from .noise import sample_dirichlet, standard_normal


class LKJCholesky(torch.distributions.LKJCholesky, TorchDistributionMixin):
    """Lower Cholesky factor of a ``dim x dim`` correlation matrix.

    The matrix has density proportional to ``det ** (concentration - 1)``, uniform for 1
    (Lewandowski, Kurowicka and Joe 2009).
    """

    support: constraints.Constraint = constraints.corr_cholesky  # type: ignore[assignment]

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw by the onion method (their section 3.2), a row at a time.

        The part of row ``i`` left of the diagonal points in a uniform direction and has squared
        length Beta(i / 2, concentration + (dim - 1 - i) / 2).
        """
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            row = torch.arange(1, self.dim, dtype=self.concentration.dtype).to(self.concentration)
            tail = self.concentration.unsqueeze(-1) + (self.dim - 1 - row) / 2
            pairs = torch.stack([(row / 2).expand(tail.shape), tail], -1)
            length2 = sample_dirichlet(pairs.expand(shape[:-2] + pairs.shape[-2:]))
            noise = standard_normal(shape, tail).tril(-1)[..., 1:, :]
            left = noise / noise.norm(dim=-1, keepdim=True) * length2[..., :1].sqrt()
            first = torch.zeros_like(left[..., :1, :])
            diagonal = torch.cat([torch.ones_like(first[..., 0]), length2[..., 1].sqrt()], -1)
            return torch.cat([first, left], -2) + diagonal.diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_diagonal = value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()
        power = torch.arange(self.dim - 4, -3, -1, dtype=value.dtype, device=value.device)
        order = torch.add(power, self.concentration.unsqueeze(-1), alpha=2)
        volume = saddle_point.correlation_volume(self.concentration, dim=self.dim)
        return (order * log_diagonal).sum(-1) - volume


class LKJ(TorchDistribution):
    """Correlation matrix with density proportional to ``det ** (concentration - 1)``.

    Args:
        dim: Number of rows.
        concentration: Positive; uniform for 1, close to the identity for large values.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {"concentration": constraints.positive}
    support: constraints.Constraint = constraints.corr_matrix

    def __init__(
        self,
        dim: int,
        concentration: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self._factor = LKJCholesky(dim, concentration, validate_args=False)
        self.dim = dim
        self.concentration: Tensor = self._factor.concentration
        super().__init__(
            self._factor.batch_shape, self._factor.event_shape, validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return LKJ(self.dim, self.concentration.expand(batch_shape), self._validate_args)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        factor: Tensor = self._factor.sample(sample_shape)
        return factor @ factor.mT

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_det: Tensor = torch.linalg.slogdet(value).logabsdet
        return (self.concentration - 1) * log_det - saddle_point.correlation_volume(
            self.concentration, dim=self.dim
        )

    @property
    def mean(self) -> Tensor:
        """The identity matrix, for the density does not change with the sign of a variable."""
        return self._identity.expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """That of a beta variable on (-1, 1) beside the diagonal, on which it is 0."""
        variance = 1 / (2 * self.concentration + self.dim - 1)
        return variance[..., None, None] * (1 - self._identity)

    @property
    def _identity(self) -> Tensor:
        return torch.eye(self.dim, dtype=self.concentration.dtype, device=self.concentration.device)


class LKJCorrCholesky(LKJCholesky):
    """The former name of :class:`LKJCholesky`, with other names of its arguments.

    Args:
        d: Number of rows.
        eta: The concentration, positive.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {"eta": constraints.positive}

    def __init__(self, d: int, eta: Tensor | float, validate_args: bool | None = None) -> None:
        warnings.warn(
            "LKJCorrCholesky(d, eta) is called LKJCholesky(dim, concentration) now",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(d, eta, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(LKJCorrCholesky, _instance)
        return super().expand(batch_shape, new)

    @property
    def eta(self) -> Tensor:
        """The concentration."""
        eta: Tensor = self.concentration
        return eta

    def lkj_constant(self, eta: Tensor | float, K: int) -> Tensor:
        """Return the log of the integral of ``det ** (eta - 1)`` over ``K x K`` correlations."""
        return saddle_point.correlation_volume(torch.as_tensor(eta).to(self.concentration), dim=K)

    def log_prob(self, x: Tensor) -> Tensor:
        log_prob: Tensor = super().log_prob(x)
        return log_prob
