"""What reparameterizers by a trained guide share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ppl.poutine as poutine

from .reparam import Reparam


class GuideReparam(Reparam):
    """Base of the rules that take the values of all sites from one execution of a trained guide.

    Args:
        guide: The guide.
    """

    def __init__(self, guide: Any) -> None:
        self.guide: Any = guide
        self._run = threading.local()  # the values of one execution

    def __getstate__(self) -> dict[str, Any]:
        return {"guide": self.guide}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.guide = state["guide"]
        self._run = threading.local()

    def reparam(self, fn: Callable[..., Any] | None = None) -> Any:
        """Return ``poutine.reparam`` of a model, or a decorator if ``fn`` is None."""
        return poutine.reparam(fn, config=self._of)

    def _of(self, site: dict[str, Any]) -> GuideReparam:
        return self

    def _next(self, name: str, draw: Callable[[], dict[str, Any]]) -> Any:
        """Return the value of a site, of a new execution if it was taken already."""
        rest: dict[str, Any] = getattr(self._run, "rest", {})
        if name not in rest:
            rest = draw()
        value = rest.pop(name)
        self._run.rest = rest
        return value
