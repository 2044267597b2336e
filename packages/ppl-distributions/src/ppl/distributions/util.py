"""Helpers for authors of distributions, at the path that programs import them from."""

from __future__ import annotations

import copy
import typing as _typing
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from ppl.distribution.util import broadcast_shape as broadcast_shape
from ppl.distribution.util import is_identically_one as is_identically_one
from ppl.distribution.util import is_identically_zero as is_identically_zero
from ppl.distribution.util import logsumexp as logsumexp
from ppl.distribution.util import scale_and_mask as scale_and_mask
from ppl.distribution.util import sum_leftmost as sum_leftmost
from ppl.distribution.util import sum_rightmost as sum_rightmost
from ppl.plugins import misspelt as _misspelt


def detach(obj: Any) -> Any:
    """Return a copy of a distribution, transform, module or tensor without its autograd graph."""
    return _map_tensors(obj, torch.Tensor.detach)


def deep_to(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a copy of a distribution, transform, module or tensor moved as by ``Tensor.to``."""
    return _map_tensors(obj, lambda tensor: tensor.to(*args, **kwargs))


def _map_tensors(obj: Any, fn: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(obj, torch.Tensor):
        return fn(obj)
    if isinstance(obj, torch.nn.Module):
        return _map_module(copy.deepcopy(obj)._apply(fn), fn)
    if type(obj) in (list, tuple):
        return type(obj)(_map_tensors(item, fn) for item in obj)
    if type(obj) is dict:
        return {key: _map_tensors(value, fn) for key, value in obj.items()}
    if isinstance(obj, torch.distributions.Distribution | torch.distributions.transforms.Transform):
        new = copy.copy(obj)
        new.__dict__.update(_map_tensors(dict(obj.__dict__), fn))
        return new
    return obj


def _map_module(
    module: torch.nn.Module, fn: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """Return a module whose plain attributes are mapped too, in place; its parameters are not."""
    registered = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    internal = vars(torch.nn.Module()).keys()
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in internal:
                kept = _map_tensors(value, lambda x: x if id(x) in registered else fn(x))
                vars(part)[name] = kept
    return module


class weakmethod:
    """Decorator of a method whose bound form does not keep its object alive."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self.fn
        reference = weakref.ref(instance)

        @wraps(self.fn)
        def bound(*args: Any, **kwargs: Any) -> Any:
            return self.fn(reference(), *args, **kwargs)

        return bound


def copy_docs_from(source: type, full_text: bool = False) -> Callable[[type], type]:
    """Return a class decorator that takes missing docstrings of public members from ``source``.

    Args:
        source: The class to copy from.
        full_text: If true, the whole docstring; otherwise a reference to the original.
    """

    def decorate(cls: type) -> type:
        for name, member in vars(cls).items():
            original = getattr(getattr(source, name, None), "__doc__", None)
            if name.startswith("_") or original is None or getattr(member, "__doc__", None):
                continue
            reference = f"See :meth:`{source.__module__}.{source.__qualname__}.{name}`"
            member.__doc__ = original if full_text else reference
        return cls

    return decorate


if not _typing.TYPE_CHECKING:  # a type checker would believe that every name exists
    __getattr__ = _misspelt(__name__)
