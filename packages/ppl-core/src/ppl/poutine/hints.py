"""The hints of a site for inference: what ``infer={...}`` may say of those that are known."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..errors import SiteError, warn


def _is_one_of(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in allowed


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# what a hint must be, and whether a value is that; None is always "not said"
_KNOWN: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "enumerate": ("'parallel', 'sequential' or None", _is_one_of("parallel", "sequential")),
    "tmc": ("'diagonal' or 'mixture'", _is_one_of("diagonal", "mixture")),
    "num_samples": ("a positive integer or None", _is_count),
    "expand": ("True or False", _is_switch),
    "is_auxiliary": ("True or False", _is_switch),
    "baseline": ("a dict of options", lambda value: isinstance(value, Mapping)),
}
_CLOSE = 0.8  # of difflib: "enumerat" is, "temperature" is not


def check_hints(name: str, infer: Mapping[str, Any]) -> None:
    """Refuse hints that inference would read as if they were absent.

    Hints that nobody here knows are for others, but for those that look like a known one: these
    are warned about.

    Args:
        name: The site.
        infer: Its hints.

    Raises:
        SiteError: If a known hint has a value that it cannot have.

    Example:
        >>> check_hints("x", {"expand": "no"})
        Traceback (most recent call last):
        ppl.errors.SiteError: site 'x': infer['expand'] must be True or False, got 'no'
    """
    for key, value in infer.items():
        known = _KNOWN.get(key)
        if known is None:
            if hint := _known_like(key):
                warn(f"site {name!r}: nobody reads infer[{key!r}]; did you mean {hint!r}?")
        elif value is not None and not known[1](value):
            raise SiteError(
                f"site {name!r}: infer[{key!r}] must be {known[0]}, got {value!r}", site=name
            )


@cache
def _known_like(key: str) -> str | None:
    if not isinstance(key, str) or key.startswith("_"):
        return None
    return next(iter(difflib.get_close_matches(key, _KNOWN, 1, _CLOSE)), None)
