"""An exhibit: a model, perhaps a guide, and what a check must report about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ppl

Program = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """A pair of programs and the ``(code, site)`` pairs of its report, empty for a good one."""

    name: str
    model: Program
    guide: Program | None = None
    args: tuple[Any, ...] = ()
    report: tuple[tuple[str, str | None], ...] = ()
    algorithm: Any = "SVI"
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def check(self) -> ppl.checker.Report:
        """Return the report of a check."""
        return ppl.check.for_(self.algorithm)(self.model, self.guide, *self.args, **self.kwargs)


class Exhibition:
    """Collects the entries of a file: ``@shown(...)`` over a model or over a class of two."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __call__(self, *report: tuple[str, str | None], **fields: Any) -> Callable[[Any], Any]:
        """Return a decorator that exhibits a model, or the model and guide of a class."""

        def exhibit(shown: Any) -> Any:
            pair = (shown.model, shown.guide) if isinstance(shown, type) else (shown, None)
            self.entries.append(Entry(shown.__name__, *pair, report=report, **fields))
            return shown

        return exhibit
