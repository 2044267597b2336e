"""A guide of independent normals on the unconstrained scale: mean-field variational inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.distribution.util import sum_rightmost
from ppl.distributions import Normal, constraints
from ppl.errors import SupportError
from ppl.infer.initialization import Strategy, init_to_feasible
from ppl.nn import PyroModule, PyroParam
from ppl.primitives import sample

from .attributes import deep_getattr, deep_setattr
from .guide import AutoGuide, CreatePlates, Site, full_size


class AutoNormal(AutoGuide):
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
        if not (isinstance(init_scale, (int, float)) and 0 < init_scale < math.inf):
            raise SupportError(f"init_scale must be a positive number, got {init_scale!r}")
        super().__init__(model, init_loc_fn=init_loc_fn, create_plates=create_plates)
        self._init_scale = float(init_scale)
        self.locs: PyroModule = PyroModule()
        self.scales: PyroModule = PyroModule()

    def _setup_site(self, name: str, site: Site) -> None:
        transform = biject_to(site["fn"].support)
        event_dim = _unconstrained_event_dim(site)
        loc = full_size(transform.inv(site["value"].detach()), site, event_dim)
        deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
        scale = torch.full_like(loc, self._init_scale)
        deep_setattr(self.scales, name, PyroParam(scale, constraints.softplus_positive, event_dim))

    def _sample_site(self, name: str, site: Site) -> Tensor:
        event_dim = _unconstrained_event_dim(site)
        posterior = Normal(deep_getattr(self.locs, name), deep_getattr(self.scales, name)).to_event(
            event_dim
        )
        free = sample(f"{name}_unconstrained", posterior, infer={"is_auxiliary": True})
        return _at_constrained(name, site, free)

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
        levels = [float(q) for q in quantiles]
        return {name: self._quantiles_of(name, site, levels) for name, site in self._latent_sites()}

    def _quantiles_of(self, name: str, site: Site, levels: Sequence[float]) -> Tensor:
        loc, scale = deep_getattr(self.locs, name), deep_getattr(self.scales, name)
        transform = biject_to(site["fn"].support)
        normal_quantiles = torch.special.ndtri(loc.new_tensor(levels)).tolist()
        return torch.stack([transform(loc + scale * q) for q in normal_quantiles])


def _unconstrained_event_dim(site: Site) -> int:
    transform = biject_to(site["fn"].support)
    return int(
        site["fn"].event_dim + transform.inv.codomain.event_dim - transform.inv.domain.event_dim
    )


def _at_constrained(name: str, site: Site, free: Tensor) -> Tensor:
    """Sample the site itself: a point at the image of ``free``, with the density of the image."""
    transform = biject_to(site["fn"].support)
    value = transform(free)
    log_density: Any = 0.0
    if poutine.get_mask() is not False:
        log_jacobian = transform.inv.log_abs_det_jacobian(value, free)
        log_density = sum_rightmost(
            log_jacobian, log_jacobian.dim() - value.dim() + site["fn"].event_dim
        )
    constrained: Tensor = sample(
        name, Delta(value, log_density=log_density, event_dim=site["fn"].event_dim)
    )
    return constrained
