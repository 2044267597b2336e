"""The tree of modules: which path each PyroModule has, and what its parameters are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from ..params import param_with_module_name
from .context import Context

SUFFIX = (
    "_unconstrained"  # what is appended to a PyroParam's attribute in parameters and state_dict
)


class Slot(NamedTuple):
    """Where the leaf of a parameter is, ``owner._parameters[key]``, and the name of its site."""

    site: str
    owner: nn.Module
    key: str


def make_root(module: Any, name: str = "") -> None:
    """Give a module the state of a PyroModule that is a tree of its own."""
    module.__dict__.update(
        _pyro_name=name, _pyro_context=Context(), _pyro_params={}, _pyro_samples={}
    )


def is_managed(module: nn.Module) -> bool:
    """Return whether a module is a PyroModule."""
    return "_pyro_context" in module.__dict__


def join(path: str, name: str) -> str:
    """Return the path of an attribute of the module at ``path``."""
    return f"{path}.{name}" if path else name


def place(module: nn.Module, path: str, context: Context) -> None:
    """Tell every PyroModule of a tree its path and context, plain modules in between or not."""
    for name, member in module.named_modules(prefix=path):
        if is_managed(member):
            member.__dict__.update(_pyro_name=name, _pyro_context=context)


def public_name(module: Any, key: str) -> str:
    """Return the attribute whose leaf is ``module._parameters[key]``."""
    name = key.removesuffix(SUFFIX)
    return name if is_managed(module) and name in module._pyro_params else key


def slots(module: nn.Module, path: str) -> Iterator[Slot]:
    """Iterate over the parameters of a tree whose root is an attribute, at ``path``."""
    return _slots(module, path, _prefix(module, path))


def _slots(module: nn.Module, path: str, prefix: str) -> Iterator[Slot]:
    for key, leaf in module._parameters.items():
        if leaf is not None:
            yield Slot(prefix + public_name(module, key), module, key)
    for name, child in module.named_children():
        inside = not (is_managed(module) or is_managed(child))  # one plain module in another
        child_path = join(path, name)
        child_prefix = f"{prefix}{name}." if inside else _prefix(child, child_path)
        yield from _slots(child, child_path, child_prefix)


def _prefix(module: nn.Module, path: str) -> str:
    return join(path, "") if is_managed(module) else param_with_module_name(path, "")
