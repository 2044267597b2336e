"""One call of a recorded function: its tensors, and everything else about it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from numbers import Number
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .refusals import CaptureError
from .surroundings import modes

IDENTICAL = (Enum, FunctionType, nn.Module, type)  # known by their identity alone


@dataclass(frozen=True)
class Call:
    """Arguments, taken apart.

    Attributes:
        args: The positional arguments.
        kwargs: The arguments by keyword.
        tensors: All tensors in them, in order.
        structure: What a recording depends on: the nesting of the arguments, the metadata of
            tensors, the values of everything else, and torch's modes.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Tensor]
    structure: Hashable
    _leaves: list[Any]
    _spec: TreeSpec

    @staticmethod
    def of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Take the arguments of a call apart.

        Raises:
            CaptureError: If an argument is neither a tensor nor hashable.
        """
        leaves, spec = tree_flatten((args, kwargs))
        structure = (spec, tuple(map(_description, leaves)), modes())
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        return Call(args, kwargs, tensors, structure, leaves, spec)

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments with other tensors in them."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._spec)
        return args, kwargs

    def versions(self) -> list[int]:
        """Return numbers that change when a tensor is written into."""
        return [tensor._version for tensor in self.tensors if not tensor.is_inference()]


def metadata(tensor: Tensor) -> Hashable:
    """Return what a recording assumes of a tensor."""
    layout = tensor.stride() if tensor.layout is torch.strided else tensor.layout
    flags = (tensor.requires_grad, tensor.is_conj(), tensor.is_neg())
    return type(tensor), tensor.shape, layout, tensor.dtype, tensor.device, flags


def _description(leaf: Any) -> Hashable:
    if isinstance(leaf, Tensor):
        return metadata(leaf)
    return _option(leaf)


def _option(value: Any) -> Hashable:
    """Return what a recording assumes of an argument without tensors: its kind and what it holds.

    Raises:
        CaptureError: If that cannot be told from one call to the next.
    """
    if isinstance(value, Number):
        return type(value), repr(value)  # 0.0 is not -0.0, and nan is nan
    if isinstance(value, slice):
        return slice, _option(value.start), _option(value.stop), _option(value.step)
    if isinstance(value, frozenset):
        return frozenset, frozenset(map(_option, value))
    attributes = {} if isinstance(value, IDENTICAL) else getattr(value, "__dict__", {})
    held = tuple((name, _option(x)) for name, x in attributes.items() if _is_plain(x))
    if is_dataclass(value) and all(map(_is_plain, attributes.values())):
        return type(value), held
    try:
        hash(value)
    except TypeError:
        raise CaptureError(
            f"an argument of type {type(value).__name__} can be neither an input of a recording "
            f"nor a fixed option, since it is not hashable: {value!r}; pass a tensor"
        ) from None
    return type(value), value, held


def _is_plain(value: Any) -> bool:
    return isinstance(value, (Number, str, type(None), frozenset))
