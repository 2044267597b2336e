"""A guide of independent normals on the unconstrained scale: mean-field variational inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from ppl.distributions import Normal, constraints
from ppl.infer.initialization import Strategy, init_to_feasible
from ppl.nn import PyroModule, PyroParam
from ppl.primitives import sample

from .attributes import deep_getattr, deep_setattr
from .auto_continuous import AutoContinuous
from .constrained import sample_at, unconstrained_event_dim
from .first_scale import positive_scale
from .guide import CreatePlates, Site, full_size
from .levels import normal_quantiles
from .mean_field import MeanField


class AutoNormal(MeanField):
    """A diagonal normal for each latent site, mapped from the unconstrained scale to its support.

    Its parameters are ``locs.<site>`` and ``scales.<site>``, on the unconstrained scale. Equation 5
    of Kucukelbir et al. 2017, "Automatic differentiation variational inference", site by site.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first locations.
        init_scale: The first scale of each unconstrained component.
        create_plates: See :class:`AutoGuide`.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import clear_param_store
        >>> clear_param_store()
        >>> def model():
        ...     sample("scale", dist.LogNormal(torch.zeros(2), 1.0).to_event(1))
        >>> guide = AutoNormal(model)
        >>> tuple(guide()["scale"].shape), guide.median()["scale"].tolist()
        ((2,), [1.0, 1.0])
    """

    _site_prefix = "locs."

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Strategy = init_to_feasible,
        init_scale: float = 0.1,
        create_plates: CreatePlates | None = None,
    ) -> None:
        self._init_scale = positive_scale(init_scale)
        super().__init__(model, init_loc_fn=init_loc_fn, create_plates=create_plates)
        self.locs: PyroModule = PyroModule()
        self.scales: PyroModule = PyroModule()

    def _setup_site(self, name: str, site: Site) -> None:
        transform = biject_to(site["fn"].support)
        event_dim = unconstrained_event_dim(site)
        loc = full_size(transform.inv(site["value"].detach()), site, event_dim)
        deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
        scale = torch.full_like(loc, self._init_scale)
        deep_setattr(self.scales, name, PyroParam(scale, constraints.softplus_positive, event_dim))

    def _sample_site(self, name: str, site: Site) -> Tensor:
        event_dim = unconstrained_event_dim(site)
        posterior = Normal(deep_getattr(self.locs, name), deep_getattr(self.scales, name)).to_event(
            event_dim
        )
        free = sample(f"{name}_unconstrained", posterior, infer={"is_auxiliary": True})
        return sample_at(name, site, free)

    def _independent(self, normal: AutoContinuous) -> tuple[Tensor, Tensor]:
        names = normal.layout.names
        parts = ({n: deep_getattr(x, n) for n in names} for x in (self.locs, self.scales))
        loc, scale = map(normal.layout.pack, parts)
        return loc, scale

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of each latent site, on the constrained scale."""
        return {name: draws[0] for name, draws in self.quantiles([0.5], *args, **kwargs).items()}

    @torch.no_grad()
    def quantiles(
        self, quantiles: Sequence[float] | Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Return the quantiles of each latent site, of shape ``(quantile, *site)``.

        They are images of the quantiles of the normals, so they hold for sites whose transform is
        monotone in each component (all supports but simplices, orderings and matrices).

        Args:
            quantiles: Probabilities between 0 and 1.
        """
        self._read_store()
        return {
            name: self._quantiles_of(name, site, quantiles) for name, site in self._latent_sites()
        }

    def _quantiles_of(self, name: str, site: Site, quantiles: Sequence[float] | Tensor) -> Tensor:
        loc, scale = deep_getattr(self.locs, name), deep_getattr(self.scales, name)
        transform = biject_to(site["fn"].support)
        levels = normal_quantiles(quantiles, loc)
        values: Tensor = transform(loc + scale * levels.reshape(-1, *[1] * loc.dim()))
        return values
