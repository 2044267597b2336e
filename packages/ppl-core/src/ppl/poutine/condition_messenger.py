"""``condition``: observe sites at given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import wrong_type
from .messenger import Messenger
from .trace_struct import Trace
from .util import as_value


class ConditionMessenger(Messenger):
    """Makes the sample sites named in ``data`` observed at the given values.

    Args:
        data: Values by site name (tensors, numbers or arrays), or a Trace to take them from.

    Raises:
        SiteTypeError: If ``data`` is none of these, or a value is no tensor.
    """

    def __init__(self, data: Mapping[str, Any] | Trace) -> None:
        if not isinstance(data, (Mapping, Trace)):
            raise wrong_type("the data of condition", "a dict by site name, or a Trace", data)
        self.data = data

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if name not in self.data:
            return
        value = self.data.nodes[name]["value"] if isinstance(self.data, Trace) else self.data[name]
        msg["value"] = as_value(value, msg["fn"], name)
        msg["is_observed"] = value is not None
