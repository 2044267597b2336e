"""A guide whose covariance is a diagonal and a matrix of low rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.distributions as dist
from ppl.infer.arguments import positive_int
from ppl.infer.initialization import Strategy, init_to_median
from ppl.nn import pyro_method

from .auto_diagonal_normal import AutoDiagonalNormal
from .guide import CreatePlates


class AutoLowRankMultivariateNormal(AutoDiagonalNormal):
    """A normal whose covariance is a diagonal plus a matrix of low rank.

    It is on the unconstrained scale. Its parameters are ``loc``, ``scale`` and a matrix
    ``cov_factor`` of shape ``(dim, rank)``; the covariance is
    ``diag(scale) @ (1 + cov_factor @ cov_factor.T) @ diag(scale)``. A step costs
    ``dim * rank**2``.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        init_scale: The first standard deviation of each component.
        rank: The number of columns of ``cov_factor``, about the root of the number of components
            by default.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        SiteError: If ``rank`` is not a positive integer.

    Example:
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(torch.zeros(9), 1.0).to_event(1))
        >>> guide = AutoLowRankMultivariateNormal(model)
        >>> guide.setup()
        >>> guide.rank, guide.get_posterior().stddev.detach()[:2]
        (3, tensor([0.1000, 0.1000]))
    """

    cov_factor: Tensor

    scale: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_median,
        init_scale: float = 0.1,
        rank: int | None = None,
        *,
        create_plates: CreatePlates | None = None,
    ) -> None:
        self.rank: int | None = None if rank is None else positive_int("rank", rank)
        super().__init__(model, init_loc_fn, init_scale, create_plates=create_plates)

    def _setup_latent(self, loc: Tensor) -> None:
        super()._setup_latent(loc)
        if self.rank is None:
            self.rank = max(1, round(math.sqrt(len(loc))))
        # not zero, where the gradient would be: half of the variance is in the factor
        factor = torch.randn(len(loc), self.rank, dtype=loc.dtype, device=loc.device)
        factor = factor / math.sqrt(self.rank)
        self.cov_factor = torch.nn.Parameter(factor)
        self.scale = self._init_scale / (1 + factor.square().sum(-1)).sqrt()

    def _independent(self, normal: Any) -> None:
        return None

    def get_base_dist(self) -> Any:
        """Refuse: the covariance has no square root of ``dim`` columns that is quick.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} is no transform of a base distribution with as many "
            "components; use AutoMultivariateNormal"
        )

    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as :meth:`get_base_dist`.

        Raises:
            NotImplementedError: Always.
        """
        return self.get_base_dist()

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the vector, a multivariate normal."""
        scale = self.scale
        factor = scale.unsqueeze(-1) * self.cov_factor
        return dist.LowRankMultivariateNormal(self.loc, factor, scale.square())

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, self.scale * (1 + self.cov_factor.square().sum(-1)).sqrt()
