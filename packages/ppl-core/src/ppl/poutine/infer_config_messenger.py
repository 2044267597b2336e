"""``infer_config``: change the inference hints of sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import required_function
from .hints import check_hints
from .messenger import Messenger


class InferConfigMessenger(Messenger):
    """Updates the ``infer`` dict of every sample and param site.

    Args:
        config_fn: Called with the site; returns the entries to add or change.
    """

    def __init__(self, config_fn: Callable[[Any], Mapping[str, Any]]) -> None:
        self.config_fn: Any = required_function("config_fn of infer_config", config_fn)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        hints = self.config_fn(msg)
        check_hints(msg["name"], hints)
        msg["infer"].update(hints)

    _pyro_param = _pyro_sample
