"""What a function reads besides its arguments: modules, closures, globals, attributes.

A recording holds these as they were.  Modes of modules belong to the structure of a call; where
something else was replaced since, such as a parameter or a number in a closure, the function is
recorded anew.  What is changed inside of a list or of another object is not seen.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ..lines import is_library

Reader = Callable[[], Any]
SCALARS = (bool, int, float, complex, str, type(None))


class Surroundings:
    """What a function reads besides its arguments.

    Args:
        fn: The function.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._modules: dict[int, nn.Module] = {}
        self._readers: list[Reader] = []
        self._seen: list[Any] = []  # alive, so that nothing else gets their identity
        self._look_at(fn)

    @property
    def modes(self) -> tuple[bool, ...]:
        """Whether each module is in training."""
        return tuple(module.training for module in self._modules.values())

    def values(self) -> list[Any]:
        """Return what is read now, to be compared by :func:`unchanged`."""
        found = [read() for read in self._readers]
        for module in self._modules.values():
            for part in (module._parameters, module._buffers, module._modules):
                found.extend(part.values())
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
        if any(value is other for other in self._seen):
            return
        self._seen.append(value)
        if isinstance(value, nn.Module):
            self._add_module(value)
            self._look_at(type(value).forward)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._look_at(part)
        elif isinstance(value, types.MethodType):
            self._look_at(value.__func__)
            self._look_at(value.__self__)
            self._look_inside(value.__self__)
        elif isinstance(value, types.FunctionType):
            self._look_around(value)
        elif callable(value) and not isinstance(value, type):
            self._look_inside(value)

    def _look_inside(self, owner: Any) -> None:
        attributes = getattr(owner, "__dict__", {})
        if isinstance(owner, (nn.Module, type, Tensor)) or is_library(
            {"__name__": type(owner).__module__}
        ):
            return
        for name in [*attributes]:
            self._read(functools.partial(attributes.get, name))

    def _look_around(self, fn: types.FunctionType) -> None:
        if is_library(fn.__globals__):
            return
        for cell in fn.__closure__ or ():
            self._read(functools.partial(_content, cell))
        for name in _names(fn.__code__):
            if name in fn.__globals__:
                self._read(functools.partial(fn.__globals__.get, name))

    def _read(self, reader: Reader) -> None:
        value = reader()
        if not isinstance(value, types.ModuleType):
            self._readers.append(reader)
            self._look_at(value)


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
