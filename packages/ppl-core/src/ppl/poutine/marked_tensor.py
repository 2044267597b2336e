"""Tensors that remember from which site they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

# results that have the values of the first argument
_SAME_VALUE: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.broadcast_to,
        Tensor.broadcast_to,
        Tensor.expand,
        Tensor.expand_as,
        Tensor.type_as,
    }
)


class MarkedTensor(Tensor):
    """The value of a site, or a tensor computed from it, while a program runs.

    ``site`` is the name; ``is_exact`` tells whether these are the values of the site itself, but
    for broadcasting and for normalizing what is normalized already, as distributions do with their
    parameters. A tensor computed from two sites remembers one of them.
    """

    site: str
    is_exact: bool
    is_total: bool  # the sum of a probability vector, which is one

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        if func is torch.broadcast_tensors:
            return tuple(_like(old, new) for old, new in zip(args, result, strict=True))
        if func in _SAME_VALUE:
            return _like(args[0], result)
        parent = next(_marks(args))
        is_exact = func is Tensor.div and _is_exact(args[0]) and _is_total(args[1])
        is_total = func is Tensor.sum and _is_exact(args[0]) and args[1:2] == (-1,)
        return _map_tensors(lambda new: mark(new, parent.site, is_exact, is_total), result)


def mark(value: Tensor, site: str, is_exact: bool = True, is_total: bool = False) -> Tensor:
    """Return a tensor of the same values that remembers a site."""
    marked = value.as_subclass(MarkedTensor)
    marked.site, marked.is_exact, marked.is_total = site, is_exact, is_total
    return marked


def unmark(value: Tensor) -> Tensor:
    """Return a plain tensor of the same values."""
    return value.as_subclass(Tensor)


def marks_of(fn: Any) -> Iterator[tuple[str, MarkedTensor]]:
    """Iterate over the marked tensors that a distribution holds, by attribute."""
    for name, value in vars(fn).items():
        if name == "_param" or (name == "logits" and "probs" in vars(fn)):
            continue  # torch keeps the parameter in more than one form
        if isinstance(value, MarkedTensor):
            yield name, value
        elif isinstance(value, torch.distributions.Distribution):
            yield from marks_of(value)


def _marks(args: Any) -> Iterator[MarkedTensor]:
    for arg in args:
        if isinstance(arg, MarkedTensor):
            yield arg
        elif isinstance(arg, (tuple, list)):
            yield from _marks(arg)


def _like(old: Any, new: Tensor) -> Tensor:
    return mark(new, old.site, old.is_exact) if isinstance(old, MarkedTensor) else new


def _is_exact(x: Any) -> bool:
    return isinstance(x, MarkedTensor) and x.is_exact


def _is_total(x: Any) -> bool:
    return isinstance(x, MarkedTensor) and x.is_total


def _map_tensors(f: Callable[[Tensor], Tensor], result: Any) -> Any:
    if isinstance(result, Tensor):
        return f(result)
    if isinstance(result, (tuple, list)) and not isinstance(result, torch.Size):
        return type(result)(_map_tensors(f, part) for part in result)
    return result
