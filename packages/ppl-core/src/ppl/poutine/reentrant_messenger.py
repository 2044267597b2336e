"""Handlers that may be entered while they are active."""

from __future__ import annotations

from typing import Any, TypeVar

from .messenger import Messenger
from .runtime import stack

Self = TypeVar("Self", bound="ReentrantMessenger")


class Entry(Messenger):
    """One more entry of a handler that is active already; it sees messages only in subclasses."""

    def __init__(self, owner: Messenger) -> None:
        self.owner = owner


class ReentrantMessenger(Messenger):
    """A handler that may be entered while it is active; it still sees every message once.

    All it knows about its entries lies on the effect stack, so threads and tasks can share it.

    Example:
        >>> from ppl.poutine.runtime import stack
        >>> handler = ReentrantMessenger()
        >>> with handler:
        ...     with handler:
        ...         pass
        ...     handler in stack()
        True
    """

    def _entry(self) -> Messenger:
        """Return what the next entry puts on the stack."""
        return Entry(self) if self in stack() else self

    def _for_one_call(self: Self) -> Self:
        return self

    def __enter__(self) -> Any:
        entry = self._entry()
        Messenger.__enter__(entry)
        return self

    def __exit__(self, *exception: Any) -> Any:
        for entry in reversed(stack()):
            if entry is self or getattr(entry, "owner", None) is self:
                return Messenger.__exit__(entry, *exception)
        return None  # left already, together with a handler further out
