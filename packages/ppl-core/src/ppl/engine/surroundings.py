"""What a function reads besides its arguments: modules, closures, globals, attributes.

A recording holds these as they were.  Modes of modules belong to the structure of a call; where
something else was replaced since, such as a parameter, a number in a closure, a member of a list
or an attribute that the code names, the function is recorded anew.  Not seen is what is changed in
an array, in a container of more than a thousand members, or outside of the program.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ..lines import is_library

Reader = Callable[[], list[Any]]
SCALARS = (bool, int, float, complex, str, type(None))
CONTAINERS = (list, tuple, dict, set, frozenset, deque)
MAX_MEMBERS = 1000  # of a container that is compared at each call
STATE = ("_parameters", "_buffers", "_modules")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Surroundings:
    """What a function reads besides its arguments.

    Args:
        fn: The function.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._modules: dict[int, nn.Module] = {}
        self.look()

    def look(self) -> None:
        """Look for everything that may be replaced, as far as the function reaches now."""
        self._names = {"forward", "__call__"}  # that code reads, of globals and attributes
        self._owners: list[Any] = []  # objects whose attributes code may read
        self._readers: list[Reader] = []
        self._seen: dict[int, Any] = {}  # alive, so that nothing else gets their identity
        for value in (self._fn, *self._modules.values()):
            self._look_at(value)
        num_names = 0
        while num_names != len(self._names):  # what is found names more
            num_names = len(self._names)
            for owner in self._owners:  # a list that grows
                self._look_inside(owner)
        own = [
            (held.get, name)
            for held, names in map(self._attributes, self._owners)
            for name in names
        ]
        parts = [vars(m)[name] for m in self._modules.values() for name in (*STATE, *HOOKS)]
        self._watched = self._readers, own, parts  # at once: other threads call values()

    @property
    def modes(self) -> tuple[bool, ...]:
        """Whether each module is in training."""
        return tuple(module.training for module in self._modules.values())

    def values(self) -> list[Any]:
        """Return what is read now, to be compared by :func:`unchanged`."""
        readers, own, parts = self._watched
        found = [value for read in readers for value in read()]
        found += [get(name) for get, name in own]
        for part in parts:
            if part:
                found += part.values()
        return found

    @contextmanager
    def noticing_modules(self) -> Iterator[None]:
        """Add the modules that are called inside of a ``with`` block."""

        def notice(module: nn.Module, inputs: Any) -> None:
            self._add_module(module)

        hook = register_module_forward_pre_hook(notice)
        try:
            yield
        finally:
            hook.remove()

    def _add_module(self, root: nn.Module) -> None:
        if id(root) not in self._modules:
            self._modules.update((id(module), module) for module in root.modules())

    def _look_at(self, value: Any) -> None:
        """Look for what may be replaced in a value that the function can reach."""
        if isinstance(value, SCALARS) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, CONTAINERS):
            self._read(functools.partial(_members, value))
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._look_at(part)
        elif isinstance(value, types.MethodType):
            self._look_at(value.__func__)
            self._look_at(value.__self__)
        elif isinstance(value, types.FunctionType):
            self._look_around(value)
        elif not isinstance(value, Tensor):
            if isinstance(value, nn.Module):
                self._add_module(value)
            self._owners.append(value)

    def _look_around(self, fn: types.FunctionType) -> None:
        if is_library(fn.__globals__):
            return
        self._names |= (names := _names(fn.__code__))
        self._read(lambda: [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()])
        self._read(lambda: [*map(_content, fn.__closure__ or ())])
        self._read(functools.partial(_attributes, fn.__globals__, sorted(names)))

    def _look_inside(self, owner: Any) -> None:
        """Look at the attributes of an object, a class or a module of Python that code names."""
        if not isinstance(owner, (type, types.ModuleType)):
            self._look_at(type(owner))
        for value in _attributes(*self._attributes(owner)):
            self._look_at(value)

    def _attributes(self, owner: Any) -> tuple[Mapping[str, Any], list[str]]:
        """Return the attributes of an object, and which of them matter."""
        attributes = getattr(owner, "__dict__", {})
        names = self._names & attributes.keys()
        if is_library({"__name__": _home(owner)}):
            is_layer = isinstance(owner, nn.Module)
            plain = {k for k, v in attributes.items() if isinstance(v, SCALARS)}
            names = plain - {"training"} if is_layer else set()
        return attributes, sorted(names)

    def _read(self, reader: Reader) -> None:
        self._readers.append(reader)
        for value in reader():
            self._look_at(value)


def _home(owner: Any) -> str:
    """Return the name of the module of Python that something is, or comes from."""
    if isinstance(owner, types.ModuleType):
        return owner.__name__
    return str(getattr(owner if isinstance(owner, type) else type(owner), "__module__", ""))


def _members(container: Any) -> list[Any]:
    """Return the members of a container, unless they are too many to be looked at each time."""
    if len(container) > MAX_MEMBERS:
        return []
    if isinstance(container, dict):
        return [*container.keys(), *container.values()]
    return [*container]


def _attributes(attributes: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return [attributes.get(name) for name in names]


def unchanged(values: list[Any], others: list[Any]) -> bool:
    """Return whether the same things are read: the same objects, or numbers of the same value."""
    return len(values) == len(others) and all(map(_is_same, values, others))


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and isinstance(one, SCALARS) and repr(one) == repr(other)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that a function and those inside of it may read."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return {*code.co_names}.union(*map(_names, inner))


def modes() -> tuple[Any, ...]:
    """Return the modes of torch that decide what operations do."""
    found: tuple[Any, ...] = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
    )
    if torch._C._is_any_autocast_enabled():
        found += tuple(
            (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
            for device in ("cpu", "cuda")
        )
    if torch._C._len_torch_function_stack():  # such as torch.set_default_device
        found += (torch.get_default_device(),)
    return found
