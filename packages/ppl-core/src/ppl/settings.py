"""Named settings that modules declare and programs may change, for good or for a ``with`` block.

A distribution names its settings in the entry-point group ``ppl.settings``, each with the module
that registers it, which is then imported when the setting is first asked for.
"""

from __future__ import annotations

import sys
import typing as _typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ppl.plugins import misspelt as _misspelt

from .errors import MissingSiteError
from .plugins import entries, load, nearest

_GROUP = "ppl.settings"  # entry points: the name of a setting, and the module that registers it

_registry: dict[str, tuple[str, str, Callable[[Any], None] | None]] = {}


def register(
    alias: str, modulename: str, deepname: str, validator: Callable[[Any], None] | None = None
) -> Any:
    """Declare that setting ``alias`` is the attribute ``deepname`` of module ``modulename``.

    Args:
        alias: The name for users.
        modulename: The module that holds the value, usually ``__name__``.
        deepname: The (dotted) attribute of that module.
        validator: Called with a new value; raises if it is not acceptable. May follow as decorator.
    """
    if validator is None:

        def decorate(fn: Callable[[Any], None]) -> Callable[[Any], None]:
            _registry[alias] = (modulename, deepname, fn)
            return fn

        _registry[alias] = (modulename, deepname, None)
        return decorate
    _registry[alias] = (modulename, deepname, validator)
    return validator


def get(alias: str | None = None) -> Any:
    """Return the value of one setting, or of all as a dict."""
    if alias is None:
        return {name: get(name) for name in _known()}
    holder, attribute, _ = _locate(alias)
    return getattr(holder, attribute)


def holders() -> list[str]:
    """Return the names of the modules that declare settings: another process has to import them."""
    return sorted({modulename for modulename, _, _ in _registry.values()})


def set(**kwargs: Any) -> None:
    """Change settings by name; all values are validated before the first is changed."""
    located = {alias: _locate(alias) for alias in kwargs}
    for alias, (_, _, validator) in located.items():
        if validator is not None:
            validator(kwargs[alias])
    for alias, (holder, attribute, _) in located.items():
        setattr(holder, attribute, kwargs[alias])


@contextmanager
def context(**kwargs: Any) -> Iterator[None]:
    """Change settings for the duration of a ``with`` block."""
    before = {alias: get(alias) for alias in kwargs}
    set(**kwargs)
    try:
        yield
    finally:
        set(**before)


def _known() -> list[str]:
    """The settings of all that is installed, imported or not."""
    return sorted({*_registry, *entries(_GROUP)})


def _locate(alias: str) -> tuple[Any, str, Callable[[Any], None] | None]:
    if alias not in _registry and alias in entries(_GROUP):
        load(_GROUP, alias)  # its module registers it
    if alias not in _registry:
        hint = nearest(alias, _known())
        raise MissingSiteError(f"there is no setting {alias!r}{hint}; known: {_known()}")
    modulename, deepname, validator = _registry[alias]
    *path, attribute = deepname.split(".")
    holder: Any = sys.modules[modulename]
    for step in path:
        holder = getattr(holder, step)
    return holder, attribute, validator


if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
