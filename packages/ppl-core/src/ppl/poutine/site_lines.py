"""Which line of a model made a site: found out after the fact, so that sites need not note it."""

from __future__ import annotations

import warnings
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ..lines import line_of_call
from ..randomness import get_rng_state, set_rng_state
from .messenger import Messenger
from .runtime import _stack

if TYPE_CHECKING:
    from .trace_struct import Trace


def line_of_site(trace: Trace, name: str) -> str | None:
    """Return ``file:line`` of the statement that made a site, if it can be found.

    The traced program runs once more, at the values of the trace and up to the site. For error
    messages only: a site costs less than noting its line would.
    """
    if trace.program is None:
        return None
    found = get_rng_state()
    try:
        return copy_context().run(_run_to_site, trace, name)
    finally:
        set_rng_state(found)


def _run_to_site(trace: Trace, name: str) -> str | None:
    _stack.set(())  # in a context of its own: what handles the caller does not see this run
    arguments = trace.nodes["_INPUT"]
    with warnings.catch_warnings(), suppress(Exception), _StopAtSite(trace, name) as handler:
        warnings.simplefilter("ignore")
        assert trace.program is not None
        trace.program(*arguments["args"], **arguments["kwargs"])
    return handler.line


class _SiteReached(Exception):
    """Ends a run whose purpose is fulfilled."""


class _StopAtSite(Messenger):
    """Gives sites the values of a trace, and ends the run at one of them."""

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name = trace, name
        self.line: str | None = None

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] == self.name:
            self.line = line_of_call()
            raise _SiteReached
        if msg["name"] in self.trace and not msg["done"]:
            msg["value"], msg["done"] = self.trace.nodes[msg["name"]]["value"], True
