"""``do``: Pearl's intervention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import wrong_type
from ..errors import warn
from .messenger import Messenger
from .util import as_value


class DoMessenger(Messenger):
    """Sets sites to given values and cuts them off from what they were computed from.

    The site itself is still sampled, and seen by the handlers further out, but the program goes on
    with the given value, which is no part of the density (Pearl 2009, "Causality", section 3.2).
    Handlers further in see the given value at an observed site, ``name + "__CF"``.

    Args:
        data: Values by site name; None leaves the site alone.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise wrong_type("the data of do", "a dict by site name", data)
        self.data = data

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if self.data.get(msg["name"]) is None:
            return
        if "_intervened_by" in msg:
            warn(f"site {msg['name']!r}: two interventions on one site; the innermost one holds")
            return
        msg["_intervened_by"] = self

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        # on the way back, when the handlers further out have recorded the site as it was drawn
        if msg.get("_intervened_by") is self:
            msg["value"] = as_value(self.data[msg["name"]], msg["fn"], msg["name"])
            msg["name"] += "__CF"  # the counterfactual
            msg["is_observed"] = True
