"""``do``: Pearl's intervention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import warn
from .messenger import Messenger
from .runtime import apply_stack
from .util import as_value


class DoMessenger(Messenger):
    """Sets sites to given values and cuts them off from what they were computed from.

    The site itself is still sampled, and seen by the handlers further out, but the program goes on
    with the given value, which is no part of the density (Pearl 2009, "Causality", section 3.2).

    Args:
        data: Values by site name.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] not in self.data or msg.get("_intervened_by") is self:
            return
        if "_intervened_by" in msg:
            warn(f"site {msg['name']!r}: two interventions on one site; the innermost one holds")
            return
        apply_stack({**msg, "_intervened_by": self, "infer": dict(msg["infer"])})
        msg["value"] = as_value(self.data[msg["name"]], msg["fn"])
        msg["name"] += "__CF"  # the counterfactual
        msg["is_observed"] = True
        msg["stop"] = True
