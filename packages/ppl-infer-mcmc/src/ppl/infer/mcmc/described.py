"""Representations that show options and state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def describe(thing: Any, options: Mapping[str, Any], state: str) -> str:
    """Return ``Class(option=value, ...): state``, of the options that are no defaults."""
    parameters = inspect.signature(type(thing)).parameters
    shown = [
        f"{name}={_short(value)}"
        for name, value in options.items()
        if name in parameters and not _is_default(value, parameters[name].default)
    ]
    return f"{type(thing).__name__}({', '.join(shown)}): {state}"


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (bool, int, float, str)) and value == default)


def _short(value: Any) -> str:
    """Return a function's name, a tensor's shape, a dict's keys; others as they are."""
    if isinstance(value, Tensor) and value.numel() > 1:
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, Tensor):
        return f"{float(value):.4g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: ..." for key in value) + "}"
    name = getattr(value, "__name__", None)
    return name if callable(value) and name else repr(value).partition("\n")[0]
