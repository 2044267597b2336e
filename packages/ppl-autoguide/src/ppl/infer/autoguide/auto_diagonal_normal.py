"""A guide of independent normals in one vector: mean-field inference with two parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.distributions as dist
from ppl.distributions import constraints, transforms
from ppl.infer.initialization import Strategy, init_to_median
from ppl.nn import PyroParam, pyro_method

from .auto_continuous import AutoContinuous
from .first_scale import positive_scale
from .guide import CreatePlates
from .mean_field import MeanField


class AutoDiagonalNormal(MeanField, AutoContinuous):
    """A normal with diagonal covariance, for all latent sites on the unconstrained scale.

    The family of :class:`AutoNormal`, with one vector ``loc`` and one ``scale`` for all sites.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first location.
        init_scale: The first standard deviation of each component.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.

    Example:
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("a", dist.Normal(0.0, 1.0))
        ...     sample("b", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
        >>> guide = AutoDiagonalNormal(model)
        >>> tuple(guide()["b"].shape), guide.latent_dim
        ((3,), 4)
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_median,
        init_scale: float = 0.1,
        *,
        create_plates: CreatePlates | None = None,
    ) -> None:
        self._init_scale = positive_scale(init_scale)
        super().__init__(model, init_loc_fn, create_plates=create_plates)

    def _setup_latent(self, loc: Tensor) -> None:
        self.loc = torch.nn.Parameter(loc)
        scale = torch.full_like(loc, self._init_scale)
        self.scale = PyroParam(scale, constraints.softplus_positive)  # type: ignore[assignment]

    @pyro_method
    def get_base_dist(self) -> Any:
        """Return a standard normal."""
        return standard_normal(self.loc)

    @pyro_method
    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return the affine transform from the noise to the vector."""
        return transforms.AffineTransform(self.loc, self.scale, event_dim=1)

    @pyro_method
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the vector, a normal with diagonal covariance."""
        return dist.Normal(self.loc, self.scale).to_event(1)

    def _independent(self, normal: Any) -> tuple[Tensor, Tensor] | None:
        return self.loc, self.scale

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, self.scale


def standard_normal(like: Tensor) -> Any:
    """Return a standard normal of vectors like one, of event shape ``(dim,)``."""
    return dist.Normal(torch.zeros_like(like), torch.ones_like(like)).to_event(1)
