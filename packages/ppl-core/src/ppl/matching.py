"""Whether model and guide fit together, and sites their plates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import ShapeError, SiteError, warn
from .poutine.util import prune_subsample_sites, site_is_subsample

if TYPE_CHECKING:
    from .poutine.trace_struct import Trace

Site = dict[str, Any]


def check_model_guide_match(
    model_trace: Trace, guide_trace: Trace, max_plate_nesting: float = math.inf
) -> None:
    """Warn about latent sites that only one of model and guide has, refuse shapes that differ.

    Args:
        model_trace: A trace of the model.
        guide_trace: A trace of the guide.
        max_plate_nesting: How many batch dimensions belong to plates, counted from the right; those
            further left, of enumeration, may differ.

    Raises:
        ShapeError: If a site's distributions have different event dimensions or batch sizes.
    """
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
    shapes = [tuple(site["fn"].batch_shape) for site in (model, guide)]
    pairs = zip(reversed(shapes[0]), reversed(shapes[1]), strict=False)
    for i, (a, b) in enumerate(pairs):
        if a != b and 1 not in (a, b) and i < max_plate_nesting:
            raise ShapeError(
                f"site {name!r} has batch_shape {shapes[0]} in the model and {shapes[1]} in the "
                f"guide, which differ at dim {-i - 1}; use the same plates in both"
            )


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
    """Refuse a guide with enumerated sites, for losses that cannot sum over them.

    Raises:
        SiteError: If a site is marked for enumeration.
    """
    names = [n for n, site in _samples(guide_trace) if site["infer"].get("enumerate")]
    if names:
        raise SiteError(
            f"sites {names} of the guide are marked for enumeration, which this loss does not do; "
            "use TraceEnum_ELBO, or remove infer={'enumerate': ...}"
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
