"""What can be wrong with the sites of one execution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..poutine.trace_struct import Site
from ..poutine.util import site_is_data
from .report import Finding, find
from .runs import Run


def site_findings(run: Run) -> Iterator[Finding]:
    """Find shapes, values and types that are wrong within one run."""
    for name, site in run.sites.items():
        line = run.lines.get(name)
        if "log_prob" in site:
            yield from _undeclared_batch(name, site, line)
            yield from _not_finite(name, site, line)
        yield from _integer_data(name, site, line)
        yield from _endless_enumeration(name, site, line)


def support_of(site: Site) -> Any:
    """Return the support of a site's distribution, None if that does not tell."""
    try:
        return site["fn"].support
    except (AttributeError, NotImplementedError):
        return None


def is_discrete(site: Site) -> bool:
    """Return whether the values of a site are known to be isolated points."""
    return bool(getattr(support_of(site), "is_discrete", False))


def _undeclared_batch(name: str, site: Site, line: str | None) -> Iterator[Finding]:
    shape = tuple(site["log_prob"].shape)
    declared = {frame.dim for frame in site["cond_indep_stack"]}
    stray = [d for d in range(-len(shape), 0) if shape[d] > 1 and d not in declared]
    if stray:
        batch_shape = tuple(site["fn"].batch_shape)
        is_of_distribution = any(d >= -len(batch_shape) and batch_shape[d] > 1 for d in stray)
        plates = [f"{f.name!r} at dim {f.dim}" for f in site["cond_indep_stack"] if f.vectorized]
        detail = f"its log_prob has shape {shape}, its plates are {', '.join(plates) or 'none'}"
        yield find("PPL202" if is_of_distribution else "PPL204", name, detail, line)


def _not_finite(name: str, site: Site, line: str | None) -> Iterator[Finding]:
    log_prob: Tensor = site["log_prob"]
    if bool(log_prob.isnan().any()) or bool((log_prob == float("inf")).any()):
        yield find("PPL302", name, f"under {site['fn']}", line)


def impossible_sites(runs: list[Run]) -> Iterator[Finding]:
    """Find sites whose log density is -inf in every run."""
    for name, site in runs[0].sites.items():
        others = (run.sites.get(name, {}).get("log_prob") for run in runs)
        if all(x is not None and bool((x == -float("inf")).any()) for x in others):
            yield find("PPL303", name, f"under {site['fn']}", runs[0].lines.get(name))


def _integer_data(name: str, site: Site, line: str | None) -> Iterator[Finding]:
    value, support = site["value"], support_of(site)
    if not isinstance(value, Tensor) or value.is_floating_point() or support is None:
        return
    if site_is_data(site) and not is_discrete(site):
        yield find("PPL307", name, f"they are {value.dtype}, under {site['fn']}", line)


def _endless_enumeration(name: str, site: Site, line: str | None) -> Iterator[Finding]:
    marked = site["infer"].get("enumerate") and not site["infer"].get("num_samples")
    if marked and not getattr(site["fn"], "has_enumerate_support", False):
        yield find("PPL603", name, f"its distribution is {site['fn']}", line)
