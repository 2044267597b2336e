"""``replay``: run a program at the values of an earlier execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import wrong_type
from ..errors import SiteError
from .messenger import Messenger
from .trace_struct import Trace


class ReplayMessenger(Messenger):
    """Gives sample sites the values they have in a trace.

    Sites that the trace does not have, and observed sites, are left as they are.

    Args:
        trace: The execution to take the values from.
        params: Unconstrained or constrained values of param sites by name.

    Raises:
        SiteError: If a site is observed, or no sample site, in the trace.
    """

    trace: Trace | None
    params: Mapping[str, Any] | None

    def __init__(self, trace: Trace | None = None, params: Mapping[str, Any] | None = None) -> None:
        if trace is None and params is None:
            raise SiteError(
                "replay needs a trace or params: poutine.replay(model, trace=guide_trace)"
            )
        if trace is not None and not isinstance(trace, Trace):
            raise wrong_type("the trace of replay", "a Trace, as of poutine.trace(guide)", trace)
        if params is not None and not isinstance(params, Mapping):
            raise wrong_type("the params of replay", "a dict of values by name", params)
        self.trace, self.params = trace, params

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if self.trace is None or name not in self.trace or msg["is_observed"]:
            return
        recorded = self.trace.nodes[name]
        if recorded["type"] != "sample" or recorded["is_observed"]:
            kind = "observed" if recorded["type"] == "sample" else f"a {recorded['type']} site"
            raise SiteError(
                f"site {name!r}: the trace to replay has it as {kind}, but a latent sample site is "
                "needed; rename the site, or remove obs= from the guide",
                site=name,
            )
        msg["done"] = True
        msg["value"] = recorded["value"]
        msg["infer"] = dict(recorded["infer"])  # handlers further out may write into it

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        if self.params is not None and self.params.get(msg["name"]) is not None:
            msg["done"] = True
            msg["value"] = self.params[msg["name"]]
