"""A guide with a full covariance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ppl.distributions as dist
from ppl.distributions import constraints, transforms
from ppl.nn import PyroParam, pyro_method

from .auto_diagonal_normal import AutoDiagonalNormal


class AutoMultivariateNormal(AutoDiagonalNormal):
    """A normal with any covariance, for all latent sites on the unconstrained scale.

    Its parameters are ``loc``, ``scale`` and a unit lower triangle ``scale_tril``; the Cholesky
    factor of the covariance is ``scale[:, None] * scale_tril``. It has ``dim * (dim + 1) / 2``
    numbers, so for many components :class:`AutoLowRankMultivariateNormal` is quicker.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        init_scale: The first standard deviation of each component.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.

    Example:
        >>> from ppl.primitives import sample
        >>> guide = AutoMultivariateNormal(lambda: sample("z", dist.Normal(torch.zeros(2), 1.0)))
        >>> guide.setup()
        >>> guide.get_posterior().covariance_matrix.diag().detach()
        tensor([0.0100, 0.0100])
    """

    scale_tril: Tensor

    def _setup_latent(self, loc: Tensor) -> None:
        super()._setup_latent(loc)
        eye = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
        self.scale_tril = PyroParam(eye, constraints.unit_lower_cholesky)  # type: ignore[assignment]

    @torch.no_grad()
    def set_moments(self, loc: Tensor, scale_tril: Tensor) -> None:
        """Set the mean and the Cholesky factor of the covariance.

        Args:
            loc: Shape ``(latent_dim,)``.
            scale_tril: Lower triangular, with a positive diagonal.
        """
        scale = scale_tril.diagonal()
        self.loc.copy_(loc)
        self.scale = scale
        self.scale_tril = scale_tril / scale.unsqueeze(-1)

    def _independent(self, normal: AutoMultivariateNormal) -> None:
        return None

    def _cholesky(self) -> Tensor:
        tril: Tensor = self.scale.unsqueeze(-1) * self.scale_tril
        return tril

    @pyro_method
    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return the affine transform from the noise to the vector."""
        return transforms.LowerCholeskyAffine(self.loc, self._cholesky())

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the vector, a multivariate normal."""
        return dist.MultivariateNormal(self.loc, scale_tril=self._cholesky())

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, self._cholesky().norm(dim=-1)
