"""Random covariance matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistributionMixin
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError
from ppl.ops.cholesky import nan_cholesky, precision_to_scale_tril

from . import saddle_point
from .noise import standard_gamma, standard_normal

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


class Wishart(torch.distributions.Wishart, TorchDistributionMixin):
    """Wishart with ``df`` degrees of freedom and mean ``df * covariance_matrix``.

    torch's constructor reads values back whether validation is on or not, and its sampler redraws
    matrices that were fine; both are replaced.

    Args:
        df: More than ``n - 1``, shape ``batch``.
        covariance_matrix: Scale, positive definite, shape ``(*batch, n, n)``; or
        precision_matrix: Its inverse; or
        scale_tril: Its lower Cholesky factor.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ValueError: If not exactly one matrix is given.
    """

    def __init__(
        self,
        df: Tensor | float,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = (covariance_matrix, precision_matrix, scale_tril)
        given = [(n, m) for n, m in zip(_MATRICES, matrices, strict=True) if m is not None]
        if len(given) != 1:
            raise ValueError(f"Wishart: expected exactly one of {', '.join(_MATRICES)}")
        ((name, matrix),) = given
        if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise ShapeError(f"Wishart: expected {name} (*batch, n, n), got {tuple(matrix.shape)}")
        df = df if isinstance(df, Tensor) else matrix.new_tensor(df)
        batch_shape = torch.Size(broadcast_shape(matrix.shape[:-2], df.shape))
        self.df: Tensor = df.expand(batch_shape)
        setattr(self, name, matrix.expand(batch_shape + matrix.shape[-2:]))
        torch.distributions.Distribution.__init__(
            self, batch_shape, matrix.shape[-2:], validate_args=validate_args
        )
        self._unbroadcasted_scale_tril = _FACTORS[name](matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Wishart, _instance)
        batch_shape = torch.Size(batch_shape)
        new.df = self.df.expand(batch_shape)
        for name in _MATRICES:
            if name in self.__dict__:
                setattr(new, name, getattr(self, name).expand(batch_shape + self.event_shape))
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        torch.distributions.Distribution.__init__(
            new, batch_shape, self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw by Bartlett's decomposition (Odell and Feiveson 1966)."""
        shape = self._extended_shape(sample_shape)
        steps = torch.arange(shape[-1], dtype=self.df.dtype, device=self.df.device)
        half_df = ((self.df.unsqueeze(-1) - steps) / 2).expand(shape[:-1])
        chi = (2 * standard_gamma(half_df)).sqrt()
        noise = standard_normal(shape, self.df).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (noise + chi.diag_embed())
        draw = factor @ factor.mT
        # rounding may cost the definiteness; a diagonal larger by as much as rounding restores it
        slack = 4 * shape[-1] * torch.finfo(draw.dtype).eps
        return draw + slack * draw.diagonal(dim1=-2, dim2=-1).diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.wishart(value, self.df, self._unbroadcasted_scale_tril)


_FACTORS = {
    "covariance_matrix": nan_cholesky,
    "precision_matrix": precision_to_scale_tril,
    "scale_tril": lambda factor: factor,
}
