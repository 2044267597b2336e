"""A table of the shapes of all sites of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[str, str, tuple[int, ...], tuple[int, ...]]


def format_shapes(nodes: Mapping[str, dict[str, Any]], title: str, last_site: str | None) -> str:
    """Return the table: a row for each parameter, distribution, value and log density."""
    rows: list[Row] = []
    for name, site in nodes.items():
        rows.extend(_rows(name, site))
        if name == last_site:
            break
    return "\n".join([title, *_align(rows)])


def _rows(name: str, site: dict[str, Any]) -> list[Row]:
    shape = tuple(getattr(site.get("value"), "shape", ()))
    if site["type"] == "param":
        return [(name, "param", (), shape)]
    if site["type"] != "sample":
        return []
    batch, event = (
        tuple(getattr(site["fn"], attribute, ())) for attribute in ("batch_shape", "event_shape")
    )
    split = len(shape) - len(event)
    rows = [(name, "dist", batch, event), ("", "value", shape[:split], shape[split:])]
    if "log_prob" in site:
        rows.append(("", "log_prob", tuple(site["log_prob"].shape), ()))
    return rows


def _align(rows: list[Row]) -> list[str]:
    name_width = max((len(name) for name, *_ in rows), default=0)
    batches = [" ".join(map(str, batch)) for _, _, batch, _ in rows]
    batch_width = max(map(len, batches), default=0)
    events = [" ".join(map(str, event)) for *_, event in rows]
    return [
        f"{name:>{name_width}} {what:>8} {batch:>{batch_width}} | {event}".rstrip()
        for (name, what, *_), batch, event in zip(rows, batches, events, strict=True)
    ]
