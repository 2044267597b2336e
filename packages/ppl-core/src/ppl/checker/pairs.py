"""Whether a guide fits its model."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..poutine.cond_indep_stack_frame import CondIndepStackFrame
from ..poutine.trace_struct import Site
from ..poutine.util import site_is_data, site_is_factor
from .report import Finding, find
from .runs import Run
from .sites import is_discrete, support_of

_NUM_DRAWS = 100  # of each site of the guide, to see whether they lie in the model's support


def guide_findings(guide: Run) -> Iterator[Finding]:
    """Find statements that have no place in a guide."""
    for name, site in guide.sites.items():
        line = guide.lines.get(name)
        if site_is_data(site):
            yield find("PPL404", name, "", line)
        if site_is_factor(site) and "has_rsample" not in vars(site["fn"]):
            yield find("PPL407", name, "", line)


def pair_findings(model: Run, guide: Run) -> Iterator[Finding]:
    """Find sites and plates that model and guide do not agree about."""
    yield from _missing(model, guide)
    yield from _extra(model, guide)
    plates = list(_other_plates(model, guide))
    yield from plates
    for name in model.latent.keys() & guide.latent.keys():
        line = guide.lines.get(name)
        shapes = list(_other_shape(name, model.latent[name], guide.latent[name], line))
        yield from [] if plates else shapes  # another plate means another shape
        if not shapes:
            yield from _other_support(name, model.latent[name], guide.latent[name], line)


def _missing(model: Run, guide: Run) -> Iterator[Finding]:
    for name, site in model.latent.items():
        if name not in guide.sites and site["infer"].get("enumerate") != "parallel":
            yield find("PPL401", name, "", model.lines.get(name))


def _extra(model: Run, guide: Run) -> Iterator[Finding]:
    for name in guide.latent:
        if name not in model.sites:
            yield find("PPL402", name, "", guide.lines.get(name))
        elif model.sites[name]["is_observed"]:
            yield find("PPL403", name, "", guide.lines.get(name))


def _other_plates(model: Run, guide: Run) -> Iterator[Finding]:
    ours, theirs = _plates(model), _plates(guide)
    for name in ours.keys() & theirs.keys():
        in_model, in_guide = ((p.full_size, p.dim) for p in (ours[name][0], theirs[name][0]))
        if in_model != in_guide:
            detail = f"(size, dim) is {in_model} in the model and {in_guide} in the guide"
            yield find("PPL206", name, detail, guide.lines.get(theirs[name][1]))


def _plates(run: Run) -> dict[str, tuple[CondIndepStackFrame, str]]:
    """The vectorized plates by name, each with a site inside."""
    return {
        frame.name: (frame, name)
        for name, site in run.sites.items()
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    }


def _other_shape(name: str, ours: Site, theirs: Site, line: str | None) -> Iterator[Finding]:
    in_model, in_guide = (
        (tuple(s["fn"].batch_shape), tuple(s["fn"].event_shape)) for s in (ours, theirs)
    )
    if in_model != in_guide:
        detail = f"(batch, event) is {in_model} in the model and {in_guide} in the guide"
        yield find("PPL406", name, detail, line)


def _other_support(name: str, ours: Site, theirs: Site, line: str | None) -> Iterator[Finding]:
    support = support_of(ours)
    if support is None:
        return
    mixed = is_discrete(theirs) and not is_discrete(ours)
    with torch.no_grad():
        draws = theirs["fn"].sample((_NUM_DRAWS,))
    if mixed or not bool(support.check(draws).all()):
        detail = f"the model has {support}, the guide {theirs['fn']}"
        yield find("PPL405", name, detail, line)
