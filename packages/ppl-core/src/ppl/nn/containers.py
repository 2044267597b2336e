"""Containers of torch, told to forget the parameters of members that leave or are renamed.

What the store forgets the modules still have: the next call puts the values of all members back
under the names that they have by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from .sharing import forget_params
from .tree import place


class Numbered:
    """Mixed in before a container whose members have their numbers for names."""

    def __getitem__(self: Any, index: Any) -> Any:
        """Return a member, or a container of some of them, which keep their names."""
        part = super().__getitem__(index)  # type: ignore[misc]
        if isinstance(index, slice):  # whose members took their names from it
            place(self, self._pyro_name, self._pyro_context)
        return part

    def insert(self: Any, index: int, module: nn.Module) -> Any:
        """Insert a member; those after it get other names."""
        return _change(self, super().insert, index, module)  # type: ignore[misc]

    def __delitem__(self: Any, index: int | slice) -> None:
        _change(self, super().__delitem__, index)  # type: ignore[misc]


class Keyed:
    """Mixed in before a container whose members have their keys for names."""

    def __delitem__(self: Any, key: str) -> None:
        _change(self, super().__delitem__, key)  # type: ignore[misc]

    def clear(self: Any) -> None:
        """Remove all members."""
        _change(self, super().clear)  # type: ignore[misc]


MIXINS: dict[type[nn.Module], type] = {
    nn.ModuleList: Numbered,
    nn.Sequential: Numbered,
    nn.ModuleDict: Keyed,
}


def _change(container: Any, change: Callable[..., Any], *args: Any) -> Any:
    forget_params(slot for name in container._modules for slot in container._slots(name))
    try:
        return change(*args)
    finally:
        place(container, container._pyro_name, container._pyro_context)
