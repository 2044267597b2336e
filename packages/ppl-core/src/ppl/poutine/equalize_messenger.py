"""``equalize``: give several sites the value of the first one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..arguments import names
from ..distribution import Delta
from ..errors import SiteError
from .messenger import Messenger

_SITES = "sites of equalize"


class EqualizeMessenger(Messenger):
    """Gives all statements whose names match the value of the first of them.

    Args:
        sites: A regular expression that a name matches in full, or a list of them.
        type: The type of the statements: "sample" (default) or "param".
        keep_dist: Whether later sample sites keep their distributions and so count as observed at
            the shared value; otherwise they become deterministic and leave the density.
    """

    _keeps_notes = True

    sites: list[str]
    type: str | None
    keep_dist: bool | None

    def __init__(
        self,
        sites: str | Sequence[str],
        type: str | None = "sample",
        keep_dist: bool | None = False,
    ) -> None:
        self.sites = [sites] if isinstance(sites, str) else list(names(_SITES, sites) or ())
        if type not in ("sample", "param"):
            raise SiteError(f"type of equalize must be 'sample' or 'param', got {type!r}")
        self.type, self.keep_dist = type, keep_dist
        self._value: Any = None

    def __enter__(self) -> EqualizeMessenger:
        self._reset()
        return super().__enter__()

    def _reset(self) -> None:
        self._value = None

    def _matches(self, msg: dict[str, Any]) -> bool:
        return msg["type"] == self.type and any(
            re.fullmatch(pattern, msg["name"]) for pattern in self.sites
        )

    def _process_message(self, msg: dict[str, Any]) -> None:
        if self._value is None or not self._matches(msg):
            return
        msg["value"], msg["done"] = self._value, True
        if msg["type"] != "sample":
            return
        msg["is_observed"] = True
        if not self.keep_dist:
            event_dim = len(msg["fn"].event_shape)
            msg["fn"] = Delta(self._value, event_dim=event_dim).mask(False)
            msg["infer"]["_deterministic"] = True

    def _postprocess_message(self, msg: dict[str, Any]) -> None:
        if self._value is None and self._matches(msg):
            self._value = msg["value"]
