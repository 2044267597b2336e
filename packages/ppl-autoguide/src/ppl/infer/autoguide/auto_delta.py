"""A guide of point masses: maximum a posteriori estimation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ppl.distribution import Delta
from ppl.infer.initialization import Strategy, init_to_median
from ppl.nn import PyroParam
from ppl.primitives import sample

from .attributes import deep_getattr, deep_setattr
from .guide import AutoGuide, CreatePlates, Site, full_size


class AutoDelta(AutoGuide):
    """A point mass for each latent site: fitting it is MAP estimation, on the constrained scale.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first values.
        create_plates: See :class:`AutoGuide`.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import clear_param_store
        >>> clear_param_store()
        >>> def model():
        ...     sample("scale", dist.LogNormal(torch.zeros(2), 1.0).to_event(1))
        >>> guide = AutoDelta(model, init_loc_fn=lambda site: torch.ones(2))
        >>> guide()["scale"].tolist()
        [1.0, 1.0]
    """

    _site_prefix = ""

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Strategy = init_to_median,
        *,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(model, init_loc_fn=init_loc_fn, create_plates=create_plates)

    def _setup_site(self, name: str, site: Site) -> None:
        event_dim = site["fn"].event_dim
        value = full_size(site["value"].detach(), site, event_dim)
        deep_setattr(self, name, PyroParam(value, site["fn"].support, event_dim))

    def _sample_site(self, name: str, site: Site) -> Tensor:
        point = Delta(deep_getattr(self, name), event_dim=site["fn"].event_dim)
        value: Tensor = sample(name, point)
        return value

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the points, by site."""
        self._read_store()
        return {name: deep_getattr(self, name).detach() for name, _ in self._latent_sites()}
