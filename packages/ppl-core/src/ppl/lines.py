"""Which line of the user's program a message is about: the nearest one outside ppl and torch."""

from __future__ import annotations

import linecache
import sys
import traceback
from typing import Any

_LIBRARIES = {"contextlib", "functools", "importlib", "numpy", "pandas", "ppl", "scipy", "torch"}


def line_of_call() -> str | None:
    """Return ``file:line`` of the innermost statement on the stack that is the user's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and is_library(frame.f_globals):
        frame = frame.f_back
    return None if is_library(frame.f_globals) else _line(frame, frame.f_lineno)


def line_of_error(error: BaseException) -> str | None:
    """Return ``file:line`` of the innermost statement that the error came through, if it is known.

    Example:
        >>> line_of_error(ValueError("never raised")) is None
        True
    """
    steps = traceback.walk_tb(error.__traceback__)
    mine = [_line(frame, number) for frame, number in steps if not is_library(frame.f_globals)]
    return mine[-1] if mine else None


def quote(line: str) -> str:
    """Return a line with the source that stands there, if that can be read."""
    file, _, number = line.rpartition(":")
    source = linecache.getline(file, int(number)).strip()
    return f"{line}: {source}" if source else line


def is_library(module_globals: dict[str, Any]) -> bool:
    """Return whether code with these globals is part of ppl or of what it is built on."""
    return str(module_globals.get("__name__", "")).split(".")[0] in _LIBRARIES


def _line(frame: Any, number: int) -> str:
    return f"{frame.f_code.co_filename}:{number}"
