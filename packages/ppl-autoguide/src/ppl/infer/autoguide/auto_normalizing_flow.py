"""Guides that are learned transforms of standard normal noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.nn import pyro_method
from ppl.ops.stats import quantile

from .auto_continuous import AutoContinuous
from .auto_diagonal_normal import standard_normal
from .guide import CreatePlates
from .levels import probabilities

_NUM_DRAWS = 10_000  # that quantiles are estimated from


class AutoNormalizingFlow(AutoContinuous):
    """A normalizing flow over all latent sites, on the unconstrained scale.

    Its quantiles and medians are estimates, from ten thousand draws that are the same each time.

    Args:
        model: The model.
        init_transform_fn: A function of the number of components that returns the transform; the
            parameters of a torch module are learned.
        create_plates: See :class:`AutoGuide`.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.distributions import transforms
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        >>> def make_transform(dim):
        ...     return transforms.AffineTransform(torch.ones(dim), 2.0, event_dim=1)
        >>> guide = AutoNormalizingFlow(model, make_transform)
        >>> tuple(guide()["z"].shape)
        (2,)
    """

    def __init__(
        self,
        model: Callable[..., Any],
        init_transform_fn: Callable[[int], Any],
        *,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        self._init_transform_fn = init_transform_fn

    def _setup_latent(self, loc: Tensor) -> None:
        with torch.enable_grad():  # the parameters of a module are leaves
            transform = self._init_transform_fn(self.latent_dim)
        if isinstance(transform, torch.nn.Module):
            transform.to(loc)
        self.transform = transform
        self.register_buffer("_like", torch.zeros_like(loc), persistent=False)

    def get_base_dist(self) -> Any:
        """Return a standard normal."""
        self._latent_sites()
        return standard_normal(self._like)

    @pyro_method
    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return the flow."""
        self._latent_sites()
        return self.transform

    def _vector_quantiles(
        self,
        quantiles: Sequence[float] | Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        like: Tensor = self._like
        generator = torch.Generator(like.device).manual_seed(0)
        noise = torch.randn(
            _NUM_DRAWS, len(like), generator=generator, dtype=like.dtype, device=like.device
        )
        draws = self.get_transform(*args, **kwargs)(noise)
        return quantile(draws, probabilities(quantiles, like), dim=0)
