"""``substitute``: run a program at given values without observing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import wrong_type
from .messenger import Messenger
from .util import as_value


class SubstituteMessenger(Messenger):
    """Gives latent sample sites and parameters the values in ``data``; they stay latent.

    Nothing is drawn at a site whose value is given. Observed sites keep their observation.

    Args:
        data: (Constrained) values by site name; None leaves the site alone.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise wrong_type("the data of substitute", "a dict by site name", data)
        self.data = data

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if self.data.get(msg["name"]) is not None and not msg["is_observed"]:
            msg["value"] = as_value(self.data[msg["name"]], msg["fn"], msg["name"])
            msg["done"] = True

    def _initial_value(self, msg: dict[str, Any]) -> Any:
        return as_value(self.data.get(msg["name"]), msg["fn"])

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        if self.data.get(msg["name"]) is not None:
            msg["value"] = as_value(self.data[msg["name"]], None, msg["name"])
            msg["done"] = True
