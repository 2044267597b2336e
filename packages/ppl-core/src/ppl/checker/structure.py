"""What changes from run to run, and must not."""

from __future__ import annotations

from collections.abc import Iterator

from .report import Finding, find
from .runs import Run
from .sites import support_of


def changes(runs: list[Run]) -> Iterator[Finding]:
    """Find sites, shapes, supports and constraints that are not the same in all runs."""
    first = runs[0]
    for run in runs[1:]:
        for name in first.sites.keys() ^ run.sites.keys():
            line = first.lines.get(name) or run.lines.get(name)
            yield find("PPL103", name, "some runs have it and others do not", line)
        for name in first.sites.keys() & run.sites.keys():
            yield from _changed_site(name, first, run)
        for name in first.params.keys() & run.params.keys():
            yield from _changed_constraint(name, first, run)


def _changed_site(name: str, first: Run, run: Run) -> Iterator[Finding]:
    line, sites = first.lines.get(name), (first.sites[name], run.sites[name])
    shapes = [tuple(getattr(site["value"], "shape", ())) for site in sites]
    if shapes[0] != shapes[1]:
        yield find("PPL104", name, f"it has been {shapes[0]} and {shapes[1]}", line)
    elif name in first.latent:
        supports = [repr(support_of(site)) for site in sites]
        if supports[0] != supports[1]:
            yield find("PPL105", name, f"it has been {supports[0]} and {supports[1]}", line)


def _changed_constraint(name: str, first: Run, run: Run) -> Iterator[Finding]:
    constraints = [repr(r.params[name]["kwargs"].get("constraint")) for r in (first, run)]
    if constraints[0] != constraints[1]:
        detail = f"it has been {constraints[0]} and {constraints[1]}"
        yield find("PPL502", name, detail, first.lines.get(name))
