"""Attributes by dotted path, for parameters that carry the names of their sites."""

from __future__ import annotations

from typing import Any

from ppl.nn import PyroModule


def deep_setattr(obj: PyroModule, path: str, value: Any) -> None:
    """Set ``obj.a.b.c`` for the path ``"a.b.c"``, making empty modules on the way."""
    *parents, last = path.split(".")
    for parent in parents:
        if not hasattr(obj, parent):
            setattr(obj, parent, PyroModule())
        obj = getattr(obj, parent)
    setattr(obj, last, value)


def deep_getattr(obj: Any, path: str) -> Any:
    """Return ``obj.a.b.c`` for the path ``"a.b.c"``."""
    for attribute in path.split("."):
        obj = getattr(obj, attribute)
    return obj
