"""Advanced indexing that broadcasts over batches, for models whose variables are enumerated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ppl.errors import ShapeError


class Index:
    """``Index(x)[args]`` is :func:`index` of ``x``."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Tensor:
        return index(self._tensor, args)


class Vindex:
    """``Vindex(x)[args]`` is :func:`vindex` of ``x``."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Tensor:
        return vindex(self._tensor, args)


def index(tensor: Tensor, args: Any) -> Tensor:
    """Return ``tensor[args]``, where an argument may itself be a tuple of arguments.

    One expression then serves a scalar, a slice and a new dimension alike: with ``t`` equal to 1,
    ``slice(None)`` or ``(..., None)``, ``Index(x)[..., t]`` is ``x[..., 1]``, ``x`` or
    ``x.unsqueeze(-1)``.

    Args:
        tensor: What to index.
        args: Arguments of indexing, possibly nested; neighbouring ellipses count as one.

    Example:
        >>> index(torch.arange(3), (..., (..., None))).shape
        torch.Size([3, 1])
    """
    flat: list[Any] = []
    for arg in _flatten(args):
        if arg is not Ellipsis or not flat or flat[-1] is not Ellipsis:
            flat.append(arg)
    return tensor[tuple(flat)]


def vindex(tensor: Tensor, args: Any) -> Tensor:
    """Return entries of ``tensor`` that integers choose, all of which broadcast with each other.

    The result has the dimensions of the broadcast integers first, then those that are sliced
    (``vindex`` of NumPy's enhancement proposal 21). A leading ellipsis stands for batch dimensions:
    they broadcast with the integers, too, so that batches of ``tensor`` meet batches of indices::

        Vindex(x)[..., i, :]  # broadcast(x.shape[:-2], i.shape) + x.shape[-1:]

    Args:
        tensor: What to index.
        args: Integers, tensors of integers and full slices ``:``, perhaps with a leading ellipsis.

    Raises:
        ShapeError: If there are too many arguments, an ellipsis that does not lead, or a slice that
            is not full.

    Example:
        >>> x = torch.arange(6).reshape(2, 3)  # a batch of two vectors
        >>> Vindex(x)[..., torch.tensor([2, 0])]  # one entry of each
        tensor([2, 3])
    """
    args = args if isinstance(args, tuple) else (args,)
    batched = bool(args) and args[0] is Ellipsis
    args = args[1:] if batched else args
    rest = tensor.dim() - len(args)
    _check(tensor, args, rest)
    if not any(isinstance(arg, Tensor) for arg in args):
        return tensor[(Ellipsis, *args) if batched else args]
    first, args = (rest, args) if batched else (0, args + (slice(None),) * rest)
    chosen = {first + dim: arg for dim, arg in enumerate(args) if not isinstance(arg, slice)}
    chosen |= {dim: _batch_index(tensor, dim, first) for dim in range(first)}
    dims = sorted(chosen)
    sliced = [dim for dim in range(tensor.dim()) if dim not in chosen]
    indices = [torch.as_tensor(chosen[dim], device=tensor.device) for dim in dims]
    # the operator itself: x[i] reads the value of a tensor i without dimensions
    result: Tensor = torch.ops.aten.index(tensor.permute(dims + sliced), indices)
    return result


def _flatten(args: Any) -> list[Any]:
    if not isinstance(args, tuple):
        return [args]
    return [item for arg in args for item in _flatten(arg)]


def _check(tensor: Tensor, args: tuple[Any, ...], rest: int) -> None:
    if rest < 0:
        raise ShapeError(f"{len(args)} indices are too many for shape {tuple(tensor.shape)}")
    for arg in args:
        if arg is Ellipsis or arg is None or (isinstance(arg, slice) and arg != slice(None)):
            raise ShapeError(
                f"vindex takes integers, full slices and a leading ellipsis, but got {arg}; "
                "index the tensor itself first"
            )


def _batch_index(tensor: Tensor, dim: int, num_dims: int) -> Tensor:
    """Return all indices along a batch dimension, aligned with the last of ``num_dims``."""
    every = torch.arange(tensor.shape[dim], device=tensor.device)
    return every.reshape(-1, *[1] * (num_dims - 1 - dim))
