"""A normal for each latent site, whose location follows the mean of the prior."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from ppl.distributions import constraints
from ppl.errors import SiteError, warn
from ppl.infer.initialization import Strategy
from ppl.nn import PyroModule, PyroParam

from .attributes import deep_getattr, deep_setattr
from .auto_messenger import DEFAULT_START
from .auto_normal_messenger import AutoNormalMessenger
from .constrained import unconstrained_event_dim
from .guide import Site


class AutoHierarchicalNormalMessenger(AutoNormalMessenger):
    """A diagonal normal for each latent site, whose mean is shifted with the mean of its prior.

    On the unconstrained scale the location is ``loc + weight * prior_mean``, and the prior depends
    on the draws of earlier sites: so the elements of a hierarchical model move with their parents.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first locations.
        init_scale: The first scale of each unconstrained component.
        amortized_plates: The names of plates whose elements share parameters.
        init_weight: The first weight of each unconstrained component.
        hierarchical_sites: The names of the sites that follow their priors; default: all whose
            priors have a mean in the support.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        SiteError: In the first call, if a latent site is discrete, or one of
            ``hierarchical_sites`` has a prior without mean.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     a = sample("a", dist.Normal(0.0, 1.0))
        ...     sample("b", dist.Normal(a, 0.1))
        >>> values = AutoHierarchicalNormalMessenger(model, init_scale=0.001)()
        >>> bool((values["a"] - values["b"]).abs() < 0.1)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Strategy = DEFAULT_START,
        init_scale: float = 0.1,
        amortized_plates: tuple[str, ...] = (),
        init_weight: float = 1.0,
        hierarchical_sites: Collection[str] | None = None,
    ) -> None:
        super().__init__(
            model,
            init_loc_fn=init_loc_fn,
            init_scale=init_scale,
            amortized_plates=amortized_plates,
        )
        self._init_weight = init_weight
        self._hierarchical_sites = hierarchical_sites
        self.weights: PyroModule = PyroModule()

    def _first_loc(self, name: str, site: Site) -> Tensor:
        loc = super()._first_loc(name, site)
        chosen = self._hierarchical_sites
        if chosen is not None and name not in chosen:
            return loc
        mean = _unconstrained_mean(site["fn"])
        if mean is None:
            self._refuse_mean(name, site)
            return loc
        self._follows[name] = True
        return loc - self._init_weight * mean

    def _setup_sites(self, *args: Any, **kwargs: Any) -> None:
        self._follows: dict[str, bool] = {}
        super()._setup_sites(*args, **kwargs)

    def _setup_site(self, name: str, site: Site) -> None:
        super()._setup_site(name, site)
        if name in self._follows:
            event_dim = unconstrained_event_dim(site)
            weight = torch.full_like(deep_getattr(self.locs, name), self._init_weight)
            deep_setattr(self.weights, name, PyroParam(weight, constraints.real, event_dim))

    def _refuse_mean(self, name: str, site: Site) -> None:
        message = (
            f"site {name!r}: the prior {site['fn']} has no mean within its support, which "
            f"{type(self).__name__} is to follow"
        )
        if self._hierarchical_sites is not None:
            raise SiteError(f"{message}; leave the site out of hierarchical_sites", site=name)
        warn(f"{message}; its location is a parameter alone")

    def _loc_scale_at(self, name: str, prior: Any) -> tuple[Tensor, Tensor]:
        loc, scale = super()._loc_scale_at(name, prior)
        if name in self._follows:
            mean = biject_to(prior.support).inv(prior.mean)
            loc = loc + deep_getattr(self.weights, name) * mean
        return loc, scale


def _unconstrained_mean(prior: Any) -> Tensor | None:
    """The mean of a prior on the unconstrained scale, or None if that is not finite."""
    try:
        mean: Tensor = biject_to(prior.support).inv(prior.mean.detach())
    except (NotImplementedError, ValueError):
        return None
    return mean if bool(mean.isfinite().all()) else None
