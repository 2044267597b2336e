"""One call of a recorded function: its tensors, and everything else about it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .refusals import CaptureError
from .surroundings import modes


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
    try:
        hash(leaf)
    except TypeError:
        raise CaptureError(
            f"an argument of type {type(leaf).__name__} can be neither an input of a recording nor "
            f"a fixed option, since it is not hashable: {leaf!r}; pass a tensor"
        ) from None
    if isinstance(leaf, Number):
        return type(leaf), repr(leaf)  # 0.0 is not -0.0, and nan is nan
    return type(leaf), leaf
