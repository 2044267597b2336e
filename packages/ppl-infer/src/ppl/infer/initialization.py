"""Where inference starts: strategies that choose a value for a latent site.

A strategy is a function of a site that returns a constrained value. Called without a site it
returns itself with its options filled in: ``init_to_uniform(radius=1.0)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import transform_to

from ppl.arguments import named
from ppl.errors import ShapeError, warn
from ppl.plugins import nearest
from ppl.poutine import Trace
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import as_value, site_is_subsample

Site = dict[str, Any]
Strategy = Callable[[Site], Tensor | None]


@named("init_to_feasible")
def init_to_feasible(site: Site | None = None) -> Any:
    """Return the point of the support at which the unconstrained value is zero.

    At a discrete site this is a draw from the prior.
    """
    if site is None:
        return init_to_feasible
    if site["fn"].support.is_discrete:
        return init_to_sample(site)
    transform, unconstrained = _unconstrained(site)
    return transform(torch.zeros_like(unconstrained))


@named("init_to_sample")
def init_to_sample(site: Site | None = None) -> Any:
    """Return a draw from the prior."""
    if site is None:
        return init_to_sample
    return site["fn"].sample().detach()


@named("init_to_median")
def init_to_median(
    site: Site | None = None,
    num_samples: int = 15,
    *,
    fallback: Strategy | None = init_to_feasible,
) -> Any:
    """Return the median of ``num_samples`` draws from the prior, where that lies in the support."""
    if site is None:
        return functools.partial(init_to_median, num_samples=num_samples, fallback=fallback)
    value = site["fn"].sample((num_samples,)).median(dim=0).values
    return _if_usable(site, value, fallback)


@named("init_to_mean")
def init_to_mean(
    site: Site | None = None,
    *,
    fallback: Strategy | None = init_to_median,
) -> Any:
    """Return the mean of the prior, where it exists and lies in the support."""
    if site is None:
        return functools.partial(init_to_mean, fallback=fallback)
    try:
        value = site["fn"].mean.detach()
    except NotImplementedError:
        value = torch.full((), torch.nan)
    return _if_usable(site, value, fallback)


@named("init_to_uniform")
def init_to_uniform(site: Site | None = None, radius: float = 2.0) -> Any:
    """Return the image of a uniform draw from ``[-radius, radius]`` on the unconstrained scale.

    At a discrete site this is a draw from the prior.
    """
    if site is None:
        return functools.partial(init_to_uniform, radius=radius)
    if site["fn"].support.is_discrete:
        return init_to_sample(site)
    transform, unconstrained = _unconstrained(site)
    return transform(torch.empty_like(unconstrained).uniform_(-radius, radius))


@named("init_to_value")
def init_to_value(
    site: Site | None = None,
    values: Mapping[str, Any] = {},
    *,
    fallback: Strategy | None = init_to_uniform,
) -> Any:
    """Return ``values[name]``, and for the sites it does not name what ``fallback`` returns."""
    if site is None:
        return functools.partial(init_to_value, values=values, fallback=fallback)
    if site["name"] in values:
        return _as_draw(values[site["name"]], site["fn"])
    return None if fallback is None else fallback(site)


@named("init_to_generated")
def init_to_generated(
    site: Site | None = None, generate: Callable[[], Strategy] = lambda: init_to_uniform
) -> Any:
    """Return what a strategy says that ``generate()`` makes anew for each execution."""
    if site is None:
        return _Generated(generate)
    return generate()(site)


class _Generated:
    """A strategy that is made anew when a site comes up a second time."""

    def __init__(self, generate: Callable[[], Strategy]) -> None:
        self.generate = generate
        self.seen: set[str] = set()
        self.strategy: Strategy | None = None

    def __call__(self, site: Site) -> Tensor | None:
        if self.strategy is None or site["name"] in self.seen:
            self.strategy, self.seen = self.generate(), set()
        self.seen.add(site["name"])
        return self.strategy(site)


def warn_of_unknown_sites(strategy: Any, trace: Trace) -> None:
    """Warn about sites that :func:`init_to_value` has values for and the model has not.

    Args:
        strategy: Any strategy.
        trace: An execution of the model.
    """
    while getattr(strategy, "func", None) is init_to_value:
        for name in strategy.keywords["values"]:
            if name not in trace:
                hint = nearest(name, list(trace.nodes))
                warn(f"init_to_value has a value for {name!r}, which is no site of the model{hint}")
        strategy = strategy.keywords["fallback"]


class InitMessenger(Messenger):
    """Gives latent sites initial values instead of draws.

    Args:
        init_fn: A strategy; a site for which it returns None is drawn as usual.

    Raises:
        ShapeError: If a value has another shape than a draw would have.
    """

    def __init__(self, init_fn: Strategy) -> None:
        self.init_fn = init_fn

    def _pyro_sample(self, msg: Site) -> None:
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg):
            return
        value = self._start(self.init_fn, msg)
        if value is not None:
            msg["value"], msg["done"] = value, True

    def _initial_value(self, msg: Site) -> Tensor | None:
        """Return the value that is given for a site which ``reparam`` is about to rewrite.

        What a strategy computes is left to the sites that take its place.
        """
        init_fn: Any = self.init_fn
        strategy = getattr(init_fn, "func", init_fn)
        if strategy in _COMPUTED:
            return None
        if strategy is init_to_value:
            return self._start(functools.partial(init_fn, fallback=None), msg)
        return self._start(self.init_fn, msg)

    def _start(self, strategy: Strategy, msg: Site) -> Tensor | None:
        with torch.no_grad():
            value = strategy(msg)
        if value is None:
            return None
        expected = msg["fn"].shape() if hasattr(msg["fn"], "shape") else value.shape
        if tuple(value.shape) != tuple(expected):
            raise ShapeError(
                f"site {msg['name']!r}: the initial value has shape {tuple(value.shape)}, but its "
                f"distribution needs {tuple(expected)}; expand the value"
            )
        return value


_COMPUTED = (init_to_feasible, init_to_sample, init_to_median, init_to_mean, init_to_uniform)


def _as_draw(value: Any, fn: Any) -> Tensor:
    """The value as a tensor: a number or a list has no dtype, so that of a draw is taken."""
    tensor: Tensor = as_value(value, fn)
    if hasattr(value, "dtype"):
        return tensor
    with suppress(NotImplementedError):  # an improper prior has no draws
        draw = fn.sample()
        return tensor.to(draw) if draw.is_floating_point() else tensor
    return tensor


def _unconstrained(site: Site) -> tuple[Any, Tensor]:
    """The transform to the support, and a tensor of the shape and dtype that it maps from."""
    fn = site["fn"]
    transform = transform_to(fn.support)
    try:
        return transform, transform.inv(fn.sample().detach())
    except NotImplementedError:  # an improper prior has no draws, and no dtype
        return transform, torch.empty(transform.inverse_shape(fn.shape()))


def _if_usable(site: Site, value: Tensor, fallback: Strategy | None) -> Tensor | None:
    """The value if it is finite and lies in the support, else what the fallback says."""
    if bool(value.isfinite().all()) and bool(site["fn"].support.check(value).all()):
        return value
    return None if fallback is None else fallback(site)
