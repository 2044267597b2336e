"""What would be recorded wrongly without an error: refused, with what to write instead.

A tensor program has no branches, fixed shapes and no memory.  So a recording ends where the
function takes numbers of its arguments out of tensors, makes shapes of them, or writes into a
tensor that outlives it: before the write, since the function itself has run already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import (
    get_proxy_mode,
    get_proxy_slot,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import PPLError

aten: Any = torch.ops.aten
EXITS = {  # functions that make a Python value of a tensor, by what to write instead
    **dict.fromkeys(
        ("__bool__", "is_nonzero", "equal", "allclose"),
        "write torch.where for a branch, and check values outside of what is recorded",
    ),
    **dict.fromkeys(
        ("item", "tolist", "numpy", "__float__", "__int__", "__index__", "__complex__")
        + ("__array__", "__dlpack__", "__contains__", "data_ptr", "untyped_storage"),
        "compute with tensors of torch throughout",
    ),
}
MAKERS = {"tensor", "as_tensor", "asarray", "new_tensor"}  # which read tensors in a list
SHAPES = {  # of what they depend on, besides the operations that torch marks
    aten._to_sparse.default,
    aten._to_sparse.sparse_dim,
    aten._to_sparse_csr.default,
}
BATCH_NORMS = {"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"}  # unmarked writes


class CaptureError(PPLError, RuntimeError):
    """A function cannot be recorded: it depends on values in a way that a tensor program cannot."""


@contextmanager
def refusals() -> Iterator[None]:
    """Raise a :class:`CaptureError` where the code inside, which is being recorded, goes wrong."""
    with _Operations(), _Functions():  # type: ignore[no-untyped-call]
        yield


class _Operations(TorchDispatchMode):
    """Refuses shapes that depend on values, and writes into tensors from outside."""

    supports_higher_order_operators = True

    @classmethod
    def is_infra_mode(cls) -> bool:  # so that torch.cond is traced as without it
        """Return that it changes nothing that torch does."""
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload):  # such as torch.cond
            return func(*args, **kwargs)
        makes_shape = func in SHAPES or torch.Tag.dynamic_output_shape in func.tags
        if makes_shape and any(map(_varies, _decisive(func, args, kwargs))):
            raise CaptureError(
                f"{_name(func)} makes a shape that depends on values; "
                "use a mask and torch.where, so that all shapes are known"
            )
        for tensor in _written(func, args, kwargs):
            if _is_from_outside(tensor):
                raise CaptureError(
                    f"{_name(func)} changes an argument or another tensor from outside in place; "
                    "return the new value instead"
                )
        return func(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """Refuses Python values that depend on the arguments; indexing needs none."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in EXITS and any(map(_varies, tree_leaves((args, kwargs)))):
            raise CaptureError(f"{name} takes values out of a tensor; {EXITS[name]}")
        if name in MAKERS and any(map(_varies, _members(args))):
            raise CaptureError(f"{name} takes values out of tensors; write torch.stack for a list")
        if func is Tensor.__getitem__:
            args = _with_selected(*args)
        return func(*args, **kwargs)


def _members(args: tuple[Any, ...]) -> list[Any]:
    """Return the members of the containers among some arguments."""
    return tree_leaves([x for x in args if not isinstance(x, Tensor)])


def _with_selected(tensor: Tensor, index: Any) -> tuple[Tensor, Any]:
    """Return an indexed tensor and its index without numbers in tensors: torch would read them."""
    given = index if isinstance(index, tuple) else (index,)
    if not any(_is_single(i) and _varies(i) for i in given):
        return tensor, index
    found: list[Any] = []
    dim = 0
    for i in given:
        if i is Ellipsis:
            dim = tensor.dim() - sum(_num_dims(j) for j in given[len(found) + 1 :])
        if _is_single(i):
            number = torch.where(i < 0, i + tensor.shape[dim], i)
            tensor, i = tensor.index_select(dim, number.reshape(1).long()), 0
        found.append(i)
        dim += _num_dims(i)
    return tensor, tuple(found)


def _is_single(index: Any) -> bool:
    """Whether an index is a number in a tensor; truth values are masks."""
    is_number = isinstance(index, Tensor) and index.dim() == 0
    return is_number and not index.is_floating_point() and index.dtype is not torch.bool


def _num_dims(index: Any) -> int:
    """Return how many dimensions an index is for."""
    if index is None or index is Ellipsis or isinstance(index, bool):
        return 0
    if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
        return index.dim()
    return 1


def _decisive(func: Any, args: tuple[Any, ...], kwargs: Any) -> list[Any]:
    """Return the arguments that the shape of a result depends on."""
    if func is aten.index.Tensor:
        masks = (torch.bool, torch.uint8)
        return [i for i in args[1] if isinstance(i, Tensor) and i.dtype in masks]
    if func is aten.masked_select.default:
        return [args[1]]
    return tree_leaves((args, kwargs))


def _written(func: Any, args: tuple[Any, ...], kwargs: Any) -> Iterator[Tensor]:
    """Yield the tensors that an operation writes into."""
    if func._schema.name.removeprefix("aten::") in BATCH_NORMS and args[5] and args[3] is not None:
        yield args[3]
    if not func._schema.is_mutable:
        return
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (x for x in tree_leaves(value) if isinstance(x, Tensor))


def _is_from_outside(tensor: Tensor) -> bool:
    """Whether a tensor has the memory of one that the program did not make."""
    node = _node(tensor)
    while node is not None and node.op == "call_function" and _is_view(node.target):
        node = node.all_input_nodes[0]
    return node is None or node.op != "call_function"


def _is_view(operation: Any) -> bool:
    returns: Any = getattr(getattr(operation, "_schema", None), "returns", ())
    return bool(returns) and returns[0].alias_info is not None


def _varies(value: Any) -> bool:
    """Whether a value is a tensor that is another one at the next call: of arguments, or drawn."""
    node = _node(value) if isinstance(value, Tensor) else None
    todo = [] if node is None else [node]
    seen: set[Node] = set()
    while todo:
        node = todo.pop()
        if node.op == "placeholder" or _draws(node.target):
            return True
        new = set(node.all_input_nodes) - seen
        seen |= new
        todo.extend(new)
    return False


def _draws(operation: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(operation, "tags", ())


def _node(tensor: Tensor) -> Node | None:
    """Return the step of the recording that made a tensor; None for one from outside."""
    functorch, mode = torch._C._functorch, get_proxy_mode()
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    found: Any = None if mode is None else get_proxy_slot(tensor, mode.tracer, None)
    return None if found is None else found.proxy.node


def _name(func: Callable[..., Any]) -> str:
    return str(func).removeprefix("aten.").split(".")[0]
