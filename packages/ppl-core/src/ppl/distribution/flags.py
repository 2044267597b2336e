"""What was set on one distribution, beside its parameters, goes to those expanded from it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from .shapes import expanded_shape

_FLAGS = ("has_rsample", "has_enumerate_support")


def keeps_flags(expand: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method ``expand`` whose result has the flags and attributes of the original.

    Flags are ``has_rsample``, ``has_enumerate_support`` and ``validate_args``, where they were set
    for this distribution: those nobody has set follow class and process, before and after.
    """
    if getattr(expand, "_keeps_flags", False):
        return expand

    @functools.wraps(expand)
    def expand_with_flags(self: Any, batch_shape: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            new = expand(self, batch_shape, *args, **kwargs)
        except (RuntimeError, TypeError):
            expanded_shape(self, batch_shape)  # says what is wrong with it
            raise
        if -1 in new.batch_shape:
            new = expand(self, expanded_shape(self, batch_shape), *args, **kwargs)
        if new is not self:
            _hand_on(self, new)
        return new

    expand_with_flags._keeps_flags = True  # type: ignore[attr-defined]
    return expand_with_flags


def _hand_on(old: Any, new: Any) -> None:
    state = old.__dict__
    for flag in _FLAGS:
        if flag in state and getattr(new, flag) != state[flag]:
            setattr(new, flag, state[flag])
    if "_validate_args" not in state:
        new.__dict__.pop("_validate_args", None)  # or it would no longer follow the process
    elif type(new) is type(old):
        new._validate_args = state["_validate_args"]
    for name in state.keys() - new.__dict__.keys():
        if _is_of_user(name, old, is_same=type(new) is type(old)):
            new.__dict__[name] = state[name]


def _is_of_user(name: str, old: Any, is_same: bool) -> bool:
    """Whether an attribute is no private one, no cache of the class, and no parameter."""
    if name.startswith("_") or hasattr(type(old), name):
        return False
    return is_same or not (name in old.arg_constraints or isinstance(getattr(old, name), Tensor))
