"""Whether model and guide fit together, and sites their plates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from .errors import ShapeError, SiteError, warn
from .poutine.util import (
    prune_subsample_sites,
    site_is_data,
    site_is_factor,
    site_is_subsample,
)

if TYPE_CHECKING:
    from .poutine.trace_struct import Trace

Site = dict[str, Any]


def check_model_guide_match(
    model_trace: Trace, guide_trace: Trace, max_plate_nesting: float = math.inf
) -> None:
    """Warn about sites and plates that only one of both has, refuse shapes that differ.

    Args:
        model_trace: A trace of the model.
        guide_trace: A trace of the guide.
        max_plate_nesting: How many batch dimensions belong to plates, counted from the right; those
            further left, of enumeration, may differ.

    Raises:
        SiteError: If the data are in the guide, and none in the model.
        ShapeError: If a site's distributions have different shapes, or a plate different sizes;
            what would broadcast is refused too, since a site in a plate is as many variables.
    """
    _check_order(model_trace, guide_trace)
    model = _matched(model_trace)
    guide = _matched(guide_trace)
    for name in sorted(set(guide) - set(model)):
        reason = "is observed there" if name in model_trace else "does not exist there"
        warn(
            f"site {name!r} of the guide is no latent site of the model: it {reason}; "
            "mark it infer={'is_auxiliary': True} if that is meant"
        )
    for name in sorted(set(model) - set(guide)):
        warn(
            f"site {name!r} of the model is not in the guide: it is drawn from its prior; "
            "add it to the guide, or condition the model on it"
        )
    for name in sorted(set(model) & set(guide)):
        _check_shapes_match(name, model[name], guide[name], max_plate_nesting)
    _check_plates_match(model_trace, guide_trace)


def _check_order(model_trace: Trace, guide_trace: Trace) -> None:
    observed = [
        name
        for name, site in _samples(guide_trace)
        if site_is_data(site) and not site_is_subsample(site)
    ]
    counts = any(site_is_data(s) or site_is_factor(s) for _, s in _samples(model_trace))
    if observed and not counts:
        raise SiteError(
            f"the guide observes {observed} and the model nothing: they seem to be in each other's "
            "place; the model comes first, as in SVI(model, guide, optim, loss)",
            site=observed[0],
        )


def _matched(trace: Trace) -> dict[str, Site]:
    """The sites that model and guide must share."""
    return {
        name: site
        for name, site in trace.iter_stochastic_nodes()
        if not (
            site_is_subsample(site)
            or site["infer"].get("is_auxiliary")
            or site["infer"].get("enumerate") == "parallel"
        )
    }


def _check_shapes_match(name: str, model: Site, guide: Site, max_plate_nesting: float) -> None:
    in_model, in_guide = (getattr(site["fn"], "event_dim", None) for site in (model, guide))
    if in_model is None or in_guide is None:
        return
    if in_model != in_guide:
        raise ShapeError(
            f"site {name!r} has event_dim {in_model} in the model and {in_guide} in the guide; "
            "adjust one of them with .to_event(n)"
        )
    for kind, counted in (("event_shape", math.inf), ("batch_shape", max_plate_nesting)):
        shapes = [tuple(getattr(site["fn"], kind)) for site in (model, guide)]
        pairs = zip_longest(reversed(shapes[0]), reversed(shapes[1]), fillvalue=1)
        for i, (a, b) in enumerate(pairs):
            if a != b and i < counted:
                raise ShapeError(
                    f"site {name!r} has {kind} {shapes[0]} in the model and {shapes[1]} in the "
                    f"guide, which differ at dim {-i - 1}; use the same plates in both, and "
                    "distributions of the same size",
                    site=name,
                )


def _check_plates_match(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn about plates that only the guide has, refuse those that have another size there."""
    sizes = [_plate_sizes(trace) for trace in (model_trace, guide_trace)]
    extra = sorted(sizes[1].keys() - sizes[0].keys())
    if extra:
        warn(
            f"plates {extra} of the guide are not in the model; give plates the same names in both"
        )
    for name in sizes[0].keys() & sizes[1].keys():
        in_model, in_guide = sizes[0][name], sizes[1][name]
        if in_model != in_guide and -1 not in (in_model, in_guide):
            raise ShapeError(
                f"plate {name!r} has size {in_model} in the model and {in_guide} in the guide; "
                "make them equal, or give the plate of the guide a name of its own",
                site=name,
            )


def _plate_sizes(trace: Trace) -> dict[str, int]:
    """The sizes of the plates around sample sites, by name."""
    return {
        frame.name: frame.size if frame.full_size is None else frame.full_size
        for _, site in _samples(trace)
        for frame in site["cond_indep_stack"]
    }


def check_traces_match(trace1: Trace, trace2: Trace) -> None:
    """Warn about sites that only one of two executions of a program has, refuse other shapes.

    Args:
        trace1: A trace of the program.
        trace2: Another trace of the same program.

    Raises:
        ShapeError: If a site has log densities of different shapes.
    """
    one, other = ({name for name, _ in _samples(trace)} for trace in (trace1, trace2))
    if one != other:
        warn(
            f"the sites of the program change from run to run: {sorted(one - other)} against "
            f"{sorted(other - one)}; what differs from run to run cannot be learned or compiled"
        )
    for name in sorted(one & other):
        shapes = [tuple(_log_prob_shape(trace.nodes[name])) for trace in (trace1, trace2)]
        if shapes[0] != shapes[1]:
            raise ShapeError(
                f"site {name!r} has a log density of shape {shapes[0]} in one run and {shapes[1]} "
                "in another; make its shape the same in every run"
            )


def _samples(trace: Trace) -> Iterator[tuple[str, Site]]:
    return ((name, site) for name, site in trace.nodes.items() if site["type"] == "sample")


def _log_prob_shape(site: Site) -> Any:
    log_prob = site.get("log_prob")
    return getattr(site["fn"], "batch_shape", ()) if log_prob is None else log_prob.shape


def check_site_shape(site: Site, max_plate_nesting: int) -> None:
    """Refuse a site whose log density has other batch dimensions than its plates.

    Args:
        site: A sample site of a trace, with its ``log_prob``.
        max_plate_nesting: How many batch dimensions belong to plates, counted from the right; those
            further left belong to enumeration.

    Raises:
        ShapeError: If a batch dimension has no plate, or a plate of another size.
    """
    found = tuple(site["log_prob"].shape)
    sizes = {f.dim: f.size for f in site["cond_indep_stack"] if f.vectorized}
    depth = max([-dim for dim in sizes], default=0)
    if depth > max_plate_nesting:
        raise ShapeError(
            f"site {site['name']!r} has a plate at dim {-depth}, but max_plate_nesting is "
            f"{max_plate_nesting}; raise max_plate_nesting, or leave it out"
        )
    counted = int(min(max(len(found), depth), max_plate_nesting))
    expected = tuple(sizes.get(dim, 1) for dim in range(-counted, 0))
    actual = (1,) * (counted - len(found)) + found[max(len(found) - counted, 0) :]
    # a plate of unknown size (-1) fits any
    if any(a != e and e != -1 for a, e in zip(actual, expected, strict=True)):
        raise ShapeError(
            f"site {site['name']!r}: its log density has shape {found}, but its plates give "
            f"{expected}; open a plate for each batch dimension, declare event dimensions with "
            ".to_event(n), or permute the dimensions of the data"
        )


def check_if_enumerated(guide_trace: Trace) -> None:
    """Warn about enumerated sites of a guide, for losses that do not sum over them."""
    names = [n for n, site in _samples(guide_trace) if site["infer"].get("enumerate")]
    if names:
        warn(
            f"sites {names} of the guide are marked for enumeration, which this loss does not do: "
            "it draws them; use TraceEnum_ELBO, or remove infer={'enumerate': ...}"
        )


def check_traceenum_requirements(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn about sites that come after an enumerated site in a plate that they are outside of.

    They could depend on it, and what is enumerated in a plate must not be seen outside.

    Args:
        model_trace: A trace of the model.
        guide_trace: A trace of the guide.
    """
    for program, trace in (("model", model_trace), ("guide", guide_trace)):
        enumerated: list[tuple[str, set[str]]] = []
        for name, site in _samples(prune_subsample_sites(trace)):
            plates = {frame.name for frame in site["cond_indep_stack"] if frame.vectorized}
            for before, its_plates in enumerated:
                if plates < its_plates:
                    warn(
                        f"site {name!r} of the {program} comes after the enumerated site "
                        f"{before!r}, which is in the plates {sorted(its_plates - plates)} besides;"
                        f" move {name!r} before it, so that it cannot depend on it"
                    )
            if site["infer"].get("enumerate"):
                enumerated.append((name, plates))
