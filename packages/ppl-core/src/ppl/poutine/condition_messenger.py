"""``condition``: observe sites at given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .messenger import Messenger
from .trace_struct import Trace
from .util import as_value


class ConditionMessenger(Messenger):
    """Makes the sample sites named in ``data`` observed at the given values.

    Args:
        data: Values by site name (tensors, numbers or arrays), or a Trace to take them from.
    """

    def __init__(self, data: Mapping[str, Any] | Trace) -> None:
        self.data = data

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if name not in self.data:
            return
        value = self.data.nodes[name]["value"] if isinstance(self.data, Trace) else self.data[name]
        msg["value"] = as_value(value, msg["fn"])
        msg["is_observed"] = value is not None
