"""A normal for each latent site, made where the model is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.distributions import constraints
from ppl.errors import ShapeError
from ppl.infer.initialization import Strategy
from ppl.nn import PyroModule, PyroParam

from .attributes import deep_getattr, deep_setattr
from .auto_messenger import DEFAULT_START, AutoMessenger
from .constrained import unconstrained_event_dim
from .first_scale import positive_scale
from .guide import Site, full_size, refuse_discrete


class AutoNormalMessenger(AutoMessenger):
    """A diagonal normal for each latent site, mapped from the unconstrained scale to its support.

    It is the family of :class:`AutoNormal`, as a handler of the model: each call runs the model, so
    supports may depend on other sites. The latent sites are those of the first call; what is latent
    only later, such as data that are to be predicted, keeps its prior.

    Args:
        model: The model.
        init_loc_fn: A strategy for the first locations.
        init_scale: The first scale of each unconstrained component.
        amortized_plates: The names of plates whose elements share parameters.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        SiteError: In the first call, if a latent site is discrete.

    Example:
        >>> from ppl.primitives import sample
        >>> guide = AutoNormalMessenger(lambda: sample("x", dist.LogNormal(0.0, 1.0)))
        >>> bool(guide()["x"] > 0)
        True
    """

    _site_prefix = "locs."
    trace: poutine.Trace

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Strategy = DEFAULT_START,
        init_scale: float = 0.1,
        amortized_plates: tuple[str, ...] = (),
    ) -> None:
        self._init_scale = positive_scale(init_scale)
        super().__init__(model, amortized_plates=amortized_plates, init_loc_fn=init_loc_fn)
        self.locs: PyroModule = PyroModule()
        self.scales: PyroModule = PyroModule()
        self._is_at_median = False

    def _check_site(self, name: str, site: Site) -> None:
        refuse_discrete(type(self).__name__, name, site)

    def _setup_site(self, name: str, site: Site) -> None:
        event_dim = unconstrained_event_dim(site)
        loc = self._first_loc(name, site)
        loc = _shared(full_size(loc, site, event_dim), site, event_dim, self.amortized_plates)
        deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
        scale = torch.full_like(loc, self._init_scale)
        deep_setattr(self.scales, name, PyroParam(scale, constraints.softplus_positive, event_dim))

    def _first_loc(self, name: str, site: Site) -> Tensor:
        """Return the first location of a site, of the shape of its unconstrained value."""
        loc: Tensor = biject_to(site["fn"].support).inv(site["value"].detach())
        return loc

    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the posterior of a site; in :meth:`median` its median, a tensor."""
        if not self._was_latent(name):
            return prior
        transform = biject_to(prior.support)
        loc, scale = self._loc_scale_at(name, prior)
        if self._is_at_median:
            return transform(loc)
        posterior = dist.Normal(loc, scale).to_event(unconstrained_event_dim({"fn": prior}))
        return dist.TransformedDistribution(posterior, transform)

    def _was_latent(self, name: str) -> bool:
        """Whether a site was latent in the first call."""
        site = None if self.prototype_trace is None else self.prototype_trace.nodes.get(name)
        return site is not None and not site["is_observed"]

    def _loc_scale_at(self, name: str, prior: Any) -> tuple[Tensor, Tensor]:
        """Return location and scale on the unconstrained scale, in the shape that the prior has."""
        shape = biject_to(prior.support).inverse_shape(prior.shape())
        loc, scale = deep_getattr(self.locs, name), deep_getattr(self.scales, name)
        try:
            return loc.expand(shape), scale.expand(shape)
        except RuntimeError as error:
            raise ShapeError(
                f"site {name!r} has unconstrained shape {tuple(shape)}, but {type(self).__name__} "
                f"has parameters of shape {tuple(loc.shape)} from the first call; call it with "
                "arguments of the same size",
                site=name,
            ) from error

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of each latent site, where those before it have theirs.

        Args:
            args: The arguments of the model.
            kwargs: The same by name.
        """
        latent = dict(self._latent_sites())
        self._read_store()
        last, self._is_at_median = self.trace, True
        try:
            with poutine.block():
                values = self(*args, **kwargs)
        finally:
            self.trace, self._is_at_median = last, False
        return {name: value for name, value in values.items() if name in latent}


def _shared(value: Tensor, site: Site, event_dim: int, plates: tuple[str, ...]) -> Tensor:
    """Average over the elements of plates, and drop dimensions of size 1 at the front."""
    for frame in site["cond_indep_stack"]:
        if frame.name in plates and frame.dim is not None:
            value = value.mean(frame.dim - event_dim, keepdim=True)
    while value.dim() > event_dim and value.shape[0] == 1 and plates:
        value = value[0]
    return value
