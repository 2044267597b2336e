"""What the sites of a model are for its results: latent, computed or observed, with named axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.poutine.cond_indep_stack_frame import CondIndepStackFrame
from ppl.poutine.util import site_is_data, site_is_factor, site_is_subsample
from ppl.util import get_rng_state, set_rng_state
from ppl.validation import validation_enabled

from ..predictive_runs import AtDraw

Model = Callable[..., Any]
Axes = tuple[str, ...]
Site = dict[str, Any]


@dataclass(frozen=True)
class Sites:
    """What one execution of a model shows.

    Attributes:
        latent: The names of the sites that are inferred.
        computed: The names of the deterministic sites.
        observed: The observations by site.
        axes: By site a name for each dimension of its value: that of a plate, or ``x_dim_0``.
        coords: The labels of the elements of plates that have labels.
        plates: The sizes of the plates.
    """

    latent: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    observed: Mapping[str, Tensor] = field(default_factory=dict)
    axes: Mapping[str, Axes] = field(default_factory=dict)
    coords: Mapping[str, list[Any]] = field(default_factory=dict)
    plates: Mapping[str, int] = field(default_factory=dict)

    def labels_of(self, name: str, shape: Sequence[int]) -> list[Sequence[Any]]:
        """Return the labels of the elements of each dimension of a site: by default numbers."""
        numbers: list[Sequence[Any]] = [range(size) for size in shape]
        axes = self.axes.get(name, ())
        if len(axes) != len(shape):
            return numbers
        found = [self.coords.get(axis, numbers[i]) for i, axis in enumerate(axes)]
        return found if [len(labels) for labels in found] == list(shape) else numbers


def look(
    model: Model,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    draw: Mapping[str, Tensor] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
) -> poutine.Trace:
    """Return the trace of one execution that nobody sees and that changes no generator.

    Args:
        model: The model.
        args: Its arguments.
        kwargs: Its keyword arguments.
        draw: Values for latent sites, such as those of a draw of the posterior.
        labels: Those that the plates had when the values were drawn.
    """
    given, state = AtDraw(dict(draw or {}), labels), get_rng_state()
    try:
        with torch.no_grad(), validation_enabled(False), poutine.block(), given:
            trace: poutine.Trace = poutine.trace(model).get_trace(*args, **(kwargs or {}))
    finally:
        set_rng_state(state)
    return trace


def sites_of(trace: poutine.Trace) -> Sites:
    """Return what a trace shows of the sites of its model."""
    sites = {n: s for n, s in trace.nodes.items() if s["type"] == "sample"}
    plates = {n: s for n, s in sites.items() if site_is_subsample(s)}
    shown = {n: s for n, s in sites.items() if n not in plates and not site_is_factor(s)}
    frames = [f for site in shown.values() for f in site["cond_indep_stack"] if f.vectorized]
    observed = {n: s for n, s in shown.items() if site_is_data(s) and not s["infer"].get("_given")}
    return Sites(
        latent=tuple(n for n, s in shown.items() if n not in observed and not _is_computed(s)),
        computed=tuple(n for n, s in shown.items() if _is_computed(s)),
        observed={n: s["value"] for n, s in observed.items() if isinstance(s["value"], Tensor)},
        axes={n: axes_of(n, s) for n, s in shown.items() if isinstance(s["value"], Tensor)},
        coords={n: s["fn"].coords for n, s in plates.items() if getattr(s["fn"], "coords", None)},
        plates={frame.name: frame.size for frame in frames},
    )


def axes_of(name: str, site: Site) -> Axes:
    """Return a name for each dimension of the value of a site.

    A batch dimension has the name of its plate, all others are called as ArviZ does: ``x_dim_0``.
    """
    shape = site["value"].shape
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    event_dim = getattr(site["fn"], "event_dim", 0)
    named = _plates_at(shape, event_dim, frames)
    if _is_computed(site) and not named:  # all of its dimensions are event dimensions by default
        named = _plates_at(shape, 0, frames)
    return tuple(named.get(i, f"{name}_dim_{i}") for i in range(len(shape)))


def _plates_at(
    shape: torch.Size, event_dim: int, frames: list[CondIndepStackFrame]
) -> dict[int, str]:
    """Return the plates of the dimensions of a value, by position; those of another size are none.

    What is a subsample is none either: its elements are others in each draw.
    """
    found = {}
    for frame in frames:
        assert frame.dim is not None
        place = len(shape) - event_dim + frame.dim
        if place >= 0 and shape[place] == frame.size and frame.full_size in (None, frame.size):
            found[place] = frame.name
    return found


def _is_computed(site: Site) -> bool:
    return bool(site["infer"].get("_deterministic"))
