"""What a model is made of: which sites depend on which, their plates, distributions and parameters.

One run of the model finds it. Values carry the names of the sites that they come from through all
functions of torch; what goes through Python numbers, such as a branch on a value, is not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.ops.provenance import detach_provenance, get_provenance, track_provenance
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import site_is_subsample
from ppl.util import get_rng_state, set_rng_state

from .rendering import render_model as render_model

Model = Callable[..., Any]
Site = dict[str, Any]
Dependencies = dict[str, dict[str, set[str]]]


class TrackProvenance(Messenger):
    """Marks the values of sites with their names, and the values computed from them.

    Args:
        include_deterministic: Whether a deterministic site hides what it was computed from.
    """

    def __init__(self, *, include_deterministic: bool = False) -> None:
        self.include_deterministic = include_deterministic

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        is_shown = self.include_deterministic and _is_deterministic(msg)
        if (is_shown or not msg["is_observed"]) and not site_is_subsample(msg):
            _mark(msg)

    def _pyro_post_param(self, msg: dict[str, Any]) -> None:
        _mark(msg)


def get_dependencies(
    model: Model,
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
    include_deterministic: bool = False,
) -> dict[str, Dependencies]:
    """Return which sites of a model depend on which, a priori and given the observations.

    Args:
        model: The model.
        model_args: Its arguments.
        model_kwargs: Its keyword arguments.
        include_deterministic: Whether deterministic sites count as sites, instead of being looked
            through.

    Returns:
        ``prior_dependencies`` maps each site to the sites that its density depends on directly, and
        to itself. ``posterior_dependencies`` maps each latent site to the sites at or after it
        that share a factor of the joint density with it: what a guide that samples in the same
        order may have to model. Sites that depend on each other do so element by element in the
        plates that both are in, but for the plates of the set that they are mapped to: across
        these each element may depend on every other.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import plate, sample
        >>> def model():
        ...     with plate("N", 3):
        ...         z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("y", dist.Normal(z.sum(), 1.0), obs=torch.tensor(0.0))
        >>> get_dependencies(model)["posterior_dependencies"]
        {'z': {'z': {'N'}, 'y': set()}}
    """
    sites = _sample_sites(_trace(model, model_args, model_kwargs, include_deterministic))
    if not include_deterministic:
        sites = {name: site for name, site in sites.items() if not _is_deterministic(site)}
    parents = {name: _parents(name, site, sites) for name, site in sites.items()}
    plates = {name: _plates(site) for name, site in sites.items()}
    prior = {name: {p: set[str]() for p in [*found, name]} for name, found in parents.items()}
    posterior: Dependencies = {
        name: {name: set()} for name, site in sites.items() if not site["is_observed"]
    }
    order = {name: i for i, name in enumerate(sites)}
    for child, found in parents.items():
        for first in found:
            if first not in posterior:
                continue  # deterministic
            for later in [*found, child]:
                if order[later] >= order[first]:
                    crossed = (plates[first] & plates[later]) - plates[child]
                    posterior[first].setdefault(later, set()).update(crossed)
    return {"prior_dependencies": prior, "posterior_dependencies": posterior}


def get_model_relations(
    model: Model,
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
    include_deterministic: bool = False,
) -> dict[str, Any]:
    """Return what a picture of a model shows.

    Args:
        model: The model.
        model_args: Its arguments.
        model_kwargs: Its keyword arguments.
        include_deterministic: Whether deterministic sites count as parents of others, instead of
            being looked through.

    Returns:
        A dict with ``sample_sample`` (the sites that each site depends on directly),
        ``sample_param`` (its parameters), ``sample_dist`` (the name of its distribution),
        ``param_constraint``, ``plate_sample`` (the sites of each plate), and the list ``observed``.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.0))
        >>> relations = get_model_relations(model)
        >>> relations["sample_sample"], relations["observed"]
        ({'z': [], 'x': ['z']}, ['x'])
    """
    trace = _trace(model, model_args, model_kwargs, include_deterministic)
    sites = _sample_sites(trace)
    params = {name: trace.nodes[name] for name in trace.param_nodes}
    plate_sample: defaultdict[str, list[str]] = defaultdict(list)
    for name, site in sites.items():
        for frame in reversed(site["cond_indep_stack"]):
            plate_sample[frame.name].append(name)
    return {
        "sample_sample": {name: _parents(name, site, sites) for name, site in sites.items()},
        "sample_param": {name: _parents(name, site, params) for name, site in sites.items()},
        "sample_dist": {name: _distribution(site) for name, site in sites.items()},
        "param_constraint": {n: str(p["kwargs"].get("constraint", "")) for n, p in params.items()},
        "plate_sample": dict(plate_sample),
        "observed": [name for name, site in sites.items() if site["is_observed"]],
    }


def _trace(
    model: Model,
    args: tuple[Any, ...] | None,
    kwargs: dict[str, Any] | None,
    include_deterministic: bool,
) -> poutine.Trace:
    """Return a scored trace of marked values; generators are left as they were."""
    state = get_rng_state()
    with poutine.block():
        tracked = TrackProvenance(include_deterministic=include_deterministic)(model)
        trace: poutine.Trace = poutine.trace(tracked).get_trace(*(args or ()), **(kwargs or {}))
        trace.compute_log_prob()
    set_rng_state(state)
    return trace


def _sample_sites(trace: poutine.Trace) -> dict[str, Site]:
    nodes = trace.nodes.items()
    return {n: s for n, s in nodes if s["type"] == "sample" and not site_is_subsample(s)}


def _parents(name: str, site: Site, sites: dict[str, Site]) -> list[str]:
    """Return those of the sites that the density was computed from."""
    found = get_provenance(site["log_prob"])
    return [other for other in sites if other in found and other != name]


def _plates(site: Site) -> set[str]:
    return {frame.name for frame in site["cond_indep_stack"]}


def _is_deterministic(site: Site) -> bool:
    return bool(site["infer"].get("_deterministic"))


def _mark(msg: dict[str, Any]) -> None:
    if isinstance(msg["value"], Tensor):
        plain = detach_provenance(msg["value"])
        msg["value"] = track_provenance(plain, frozenset({msg["name"]}))


def _distribution(site: Site) -> str:
    if _is_deterministic(site):
        return "Deterministic"
    fn = site["fn"]
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    return str(getattr(fn, "__name__", type(fn).__name__))
