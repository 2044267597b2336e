"""Guides that are written by hand, and look up in the model what it has said already."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import Delta
from ppl.errors import MissingSiteError, PlateError, SiteError
from ppl.infer.arguments import nearest_site, sizes_of
from ppl.infer.autoguide import AutoGuide
from ppl.infer.autoguide.attributes import deep_getattr, deep_setattr
from ppl.infer.autoguide.guide import Site, full_size
from ppl.infer.initialization import init_to_sample
from ppl.nn import PyroParam
from ppl.poutine.runtime import get_plates
from ppl.primitives import plate, sample

from .group import Group


class EasyGuide(AutoGuide):
    """Base class of guides that take sites, shapes, supports and plates from the model.

    Derived classes implement :meth:`guide`, and call :meth:`group`, :meth:`plate` and
    :meth:`map_estimate` in it; :func:`easy_guide` makes one of a function.

    Args:
        model: The model.

    Raises:
        SiteError: If the model is a class.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__(model, init_loc_fn=self.init)
        self._in_use: dict[str, int] = {}  # the sizes of subsamples in this execution

    def guide(self, *args: Any, **kwargs: Any) -> Any:
        """Sample all latent sites of the model.

        Args:
            args: The arguments of the model.
            kwargs: The same by name.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement guide")

    def init(self, site: Site) -> Tensor:
        """Return the first value of a latent site: a draw, unless it is overridden."""
        value: Tensor = init_to_sample(site)
        return value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the guide and return what it returns."""
        self.setup(*args, **kwargs)
        self._check_sizes(args, kwargs)
        self.plates = {}  # of this execution
        self._in_use = self._seen[sizes_of(args, kwargs)]
        return self.guide(*args, **kwargs)

    def plate(
        self,
        name: str,
        size: int | None = None,
        subsample_size: int | None = None,
        subsample: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> plate:
        """Return a plate, the same in each part of an execution.

        Args:
            name: A plate around a latent site of the model.
            size: Its size; what is left out is as in the model.
            subsample_size: The size of the subsample.
            subsample: The indices of the subsample.
            args: Further arguments of ``plate``.
            kwargs: The same by name.

        Raises:
            PlateError: If the size is left out for a plate that is around no latent site.
        """
        if name not in self.plates:
            frame = self._frames().get(name)
            if frame is not None:
                if size is None:
                    size = frame.full_size
                    subsample_size = subsample_size or self._in_use.get(name, frame.size)
                if not args:
                    kwargs.setdefault("dim", frame.dim)
            if size is None:
                raise PlateError(
                    f"plate {name!r} is around no latent site of the model, so it needs a size; "
                    f"the model has {sorted(self._frames())}"
                )
            self.plates[name] = plate(name, size, subsample_size, subsample, *args, **kwargs)
        return self.plates[name]

    def group(self, match: str = ".*") -> Group:
        """Return the latent sites whose names begin with a match of a regular expression.

        Args:
            match: The expression.

        Raises:
            SiteError: If no site matches.
        """
        sites = {n: s for n, s in self._latent_sites() if re.match(match, n)}
        if not sites:
            raise SiteError(
                f"no latent site of the model matches {match!r}; it has "
                f"{[name for name, _ in self._latent_sites()]}"
            )
        return Group(self, sites)

    def map_estimate(self, name: str) -> Tensor:
        """Sample a site at a point that is learned, and return it.

        Args:
            name: The site.

        Raises:
            MissingSiteError: If the model has no such latent site.
        """
        sites = dict(self._latent_sites())
        if name not in sites:
            hint = nearest_site(name, sites)
            raise MissingSiteError(f"no latent site {name!r} in the model; it has {[*sites]}{hint}")
        site, event_dim = sites[name], sites[name]["fn"].event_dim
        if not _has(self, name):
            with torch.no_grad():
                value = full_size(site["value"].detach(), site, event_dim)
            deep_setattr(self, name, PyroParam(value, site["fn"].support, event_dim))
        with self._around(site):
            point: Tensor = sample(name, Delta(deep_getattr(self, name), event_dim=event_dim))
        return point

    def _check_site(self, name: str, site: Site) -> None:
        """Take all sites: it is for the guide to have distributions."""

    def _plate_sizes(self) -> dict[str, int]:
        """Only points have parameters here, for each element of a plate."""
        learned = {name for name, _ in self._latent_sites() if _has(self, name)}
        frames = (f for n, s in self._latent_sites() if n in learned for f in s["cond_indep_stack"])
        return {frame.name: frame.full_size for frame in frames}

    def _frames(self) -> dict[str, Any]:
        return {f.name: f for _, site in self._latent_sites() for f in site["cond_indep_stack"]}

    @contextmanager
    def _around(self, site: Site) -> Iterator[None]:
        """Open the plates of a site that are not open yet."""
        is_open = {frame.name for frame in get_plates()}
        frames = [frame for frame in site["cond_indep_stack"] if frame.name not in is_open]
        for frame in frames:
            self.plate(frame.name)
        with self._inside(frames):
            yield


def easy_guide(model: Callable[..., Any]) -> Callable[[Callable[..., Any]], EasyGuide]:
    """Return a decorator that makes an :class:`EasyGuide` of a function.

    The first argument of the function is the guide; the others are those of the model.

    Args:
        model: The model.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import param
        >>> def model():
        ...     sample("a", dist.Normal(0.0, 1.0))
        ...     sample("b", dist.LogNormal(0.0, 1.0))
        >>> @easy_guide(model)
        ... def guide(self):
        ...     both = self.group(match="[ab]")
        ...     loc = param("loc", torch.zeros(both.event_shape))
        ...     both.sample("both", dist.Normal(loc, 0.1).to_event(1))
        >>> _ = guide()
    """

    def make(fn: Callable[..., Any]) -> EasyGuide:
        members = {"guide": fn, "__doc__": fn.__doc__, "__module__": fn.__module__}
        guide: EasyGuide = type(fn.__name__, (EasyGuide,), members)(model)
        return guide

    return make


def _has(guide: EasyGuide, path: str) -> bool:
    try:
        deep_getattr(guide, path)
    except AttributeError:
        return False
    return True
