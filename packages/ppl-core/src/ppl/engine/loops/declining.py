"""What makes a trace declined: another position would need another one, or that is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ..refusals import EXITS, MAKERS
from .nodes import DeclinedError

aten: Any = torch.ops.aten
STRIDED = {aten.as_strided.default}  # of a memory that a batch has not
OF_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
DATA = {Tensor.data.__get__, Tensor.data.__set__}  # type: ignore[attr-defined]


class Functions(TorchFunctionMode):
    """Declines what leaves the sight of the dispatcher: values that become numbers of Python's.

    Args:
        is_known: Whether a value is a tensor that depends on the position.
    """

    def __init__(self, is_known: Callable[[Any], bool]) -> None:
        super().__init__()
        self._is_known = is_known

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        taken: Any = ()
        if name in EXITS or func in DATA:
            taken = args, kwargs
        elif name in MAKERS:
            taken = [x for x in args if not isinstance(x, Tensor)]
        if taken and any(map(self._is_known, tree_leaves(taken))):
            raise DeclinedError(f"{'data' if func in DATA else name} takes values out of a tensor")
        return func(*args, **(kwargs or {}))


def check(func: Any, args: tuple[Any, ...]) -> None:
    """Decline an operation on what depends on the position."""
    if not torch.is_grad_enabled():
        raise DeclinedError(f"{func} runs without gradient, or has a derivative of its own")
    if func._schema.is_mutable:
        raise DeclinedError(f"{func} writes into a tensor")
    if torch.Tag.nondeterministic_seeded in func.tags:
        raise DeclinedError(f"{func} draws at random")
    if func is aten.index.Tensor and all(i is None or i.dtype is torch.int64 for i in args[1]):
        return
    if not OF_VALUES.isdisjoint(func.tags):
        raise DeclinedError(f"{func} depends on values")
    if func in STRIDED:
        raise DeclinedError(f"{func} reads memory")
