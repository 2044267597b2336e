"""One run of a function on real tensors, without proxies: what it does to its argument.

It is as quick as the function and sees what a dispatcher sees, operations below autograd.  What it
cannot see, or what makes the next run another one, is declined: values that become numbers of
Python's, draws, writes into tensors, and derivatives that the function brings itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten

from ...validation import unchecked
from ..recording import while_recording
from .declining import Functions, check
from .nodes import (
    ARITHMETIC,
    CONSTANT,
    LEAF,
    POSITION,
    VIEWS,
    DeclinedError,
    Node,
    mapped,
)

aten: Any = torch.ops.aten
SHAPE_ONLY = {  # of their argument: the result is a constant
    aten.zeros_like.default,
    aten.ones_like.default,
    aten.full_like.default,
    aten.empty_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_full.default,
    aten.new_empty.default,
}
COPIES = {aten.expand.default, aten._to_copy.default, aten.alias.default, *VIEWS}
QUANTIFIERS = {aten.all.default, aten.any.default}
SPLITS = {aten.split.Tensor, aten.split_with_sizes.default}
FEW_NUMBERS = 16  # so small constants are told by their values, others by their memory


@dataclass(frozen=True)
class Trace:
    """What a function did: the nodes of the tensors that it returned, and their containers."""

    results: list[Node]
    structure: TreeSpec


def trace(fn: Callable[[Tensor], Any], position: Tensor) -> Trace:
    """Return what a function does to a position ``(dim,)``, having run it once.

    Raises:
        DeclinedError: If another position would need another trace, or if that is not known.
    """
    position = position.detach().clone().requires_grad_()
    watch = _Operations(position)
    with unchecked(), while_recording(), torch.enable_grad(), watch, Functions(watch.is_known):
        results, structure = tree_flatten(fn(position))
    if not all(isinstance(x, Tensor) for x in results):
        raise DeclinedError("it returns something else than tensors")
    if not any(map(watch.is_known, results)):
        raise DeclinedError("its results do not depend on the position")
    nodes = [watch.node_of(x) for x in results]
    if any(x._version != version for x, version in watch.constants):
        raise DeclinedError("it changes a tensor in place")
    return Trace(nodes, structure)


class _Operations(TorchDispatchMode):
    """Notes the operations on what depends on the position."""

    def __init__(self, position: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.constants: list[tuple[Tensor, int]] = []  # with their versions
        self._nodes: dict[int, Node] = {}  # by the identity of their tensors
        self._kept: list[Tensor] = []  # alive, so that no identity comes twice
        self._table: dict[Any, Node] = {}
        self._known: set[int] = set()  # memory of what depends on the position
        self._drawn: set[int] = set()  # memory with random numbers
        self._root = self._node((POSITION,), POSITION, (), {}, position)
        self._bind(position, self._root)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [x for x in _members((*args, *kwargs.values())) if isinstance(x, Tensor)]
        if not any(map(self.is_known, given)):
            self._follow_draws(func, given, result)
        else:
            check(func, args)
            if func not in SHAPE_ONLY:
                self._note(func, mapped(args, self._seen), _mapped(kwargs, self._seen), result)
        return result

    def is_known(self, value: Any) -> bool:
        """Whether a value is a tensor that depends on the position."""
        return id(value) in self._nodes

    def node_of(self, tensor: Tensor) -> Node:
        """Return the node of a tensor; others than known ones are constants."""
        return self._nodes.get(id(tensor)) or self._constant(tensor)

    def _seen(self, value: Any) -> Any:
        return self.node_of(value) if isinstance(value, Tensor) else value

    def _follow_draws(self, func: Any, given: list[Tensor], result: Any) -> None:
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if draws or (self._drawn and any(_memory(x) in self._drawn for x in given)):
            for x in _members((result,)):
                if isinstance(x, Tensor):
                    self._kept.append(x)
                    self._drawn.add(_memory(x))

    def _constant(self, tensor: Tensor) -> Node:
        memory = _memory(tensor)
        if memory in self._drawn:
            raise DeclinedError("it draws at random")
        if memory in self._known and memory:
            raise DeclinedError("a tensor was made another one out of sight, as by nn.Parameter")
        place: Any
        if tensor.numel() <= FEW_NUMBERS:
            tensor = tensor.detach().clone()
            place = repr(tensor.tolist())
        else:
            self.constants.append((tensor, tensor._version))
            place = tensor.data_ptr(), tensor.stride()
        key = CONSTANT, tensor.dtype, tensor.shape, tensor.device, place
        node = self._node(key, CONSTANT, (), {}, tensor)
        node.value = tensor.detach()
        return node

    def _number(self, number: float, like: Tensor) -> Node:
        """Return a constant for a number, a tensor of the dtype of the result it goes into."""
        key = CONSTANT, like.dtype, like.device, repr(number)
        if key not in self._table:
            value = torch.tensor(number, dtype=like.dtype, device=like.device)
            node = self._node(key, CONSTANT, (), {}, value)
            node.value, node.literal = value, number
        return self._table[key]

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if isinstance(result, Tensor):
            self._bind(result, self._single(func, args, kwargs, result))
        elif isinstance(result, (list, tuple)):
            self._note_parts(func, args, kwargs, result)
        else:
            raise DeclinedError(f"{func} returns no tensor")

    def _single(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
    ) -> Node:
        first = args[0]
        if func in ARITHMETIC and not kwargs and len(args) <= 2:
            if func is aten.rsub.Scalar:
                args = args[::-1]
            args = tuple(self._number(x, result) if _is_number(x) else x for x in args)
            func = ARITHMETIC[func]
        elif func in COPIES and isinstance(first, Node) and _is_like(first, result):
            return first
        elif func in QUANTIFIERS and len(args) == 1 and first.target is aten.stack.default:
            args = (self._distinct(first),)
        elif func in VIEWS and first.target == LEAF:
            return self._leaf(first.args[0], result)
        return self._operation(func, args, kwargs, result)

    def _distinct(self, stack: Node) -> Node:
        """Return a stack without what is in it already."""
        parts = tuple(dict.fromkeys(stack.args[0]))
        shape = len(parts), *parts[0].shape
        like = torch.empty(shape, dtype=stack.dtype, device=stack.device)
        return self._operation(aten.stack.default, (parts,), {}, like)

    def _note_parts(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], parts: Any
    ) -> None:
        """Note an operation with several results, each as a node of its own."""
        whole, rest = args[0], args[1:]
        is_split = func in SPLITS and not kwargs
        if func is aten.unbind.int:
            dim = (rest[0] if rest else 0) % len(whole.shape)
        elif is_split:
            dim = (rest[1] if len(rest) > 1 else 0) % len(whole.shape)
        else:
            whole = self._operation(func, args, kwargs, None)
        start = 0
        for i, part in enumerate(parts):
            if not isinstance(part, Tensor):
                continue
            if func is aten.unbind.int:
                node = self._operation(aten.select.int, (whole, dim, i), {}, part)
            elif is_split and whole is self._root:
                node = self._leaf(start, part)
            elif is_split:
                span = (whole, dim, start, start + part.shape[dim])
                node = self._operation(aten.slice.Tensor, span, {}, part)
            else:
                node = self._operation(operator.getitem, (whole, i), {}, part)
            start += part.shape[dim] if is_split else 0
            self._bind(part, node)

    def _leaf(self, start: int, part: Tensor) -> Node:
        return self._node((LEAF, start, part.shape), LEAF, (start, self._root), {}, part)

    def _operation(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor | None
    ) -> Node:
        key = func, mapped(args, _identity), tuple((k, _identity(x)) for k, x in kwargs.items())
        return self._node(key, func, args, kwargs, result)

    def _node(
        self,
        key: Any,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor | None,
    ) -> Node:
        found = self._table.get(key)
        if found is None:
            found = self._table[key] = Node(target, args, kwargs, result, len(self._table))
        return found

    def _bind(self, tensor: Tensor, node: Node) -> None:
        self._nodes[id(tensor)] = node
        self._known.add(_memory(tensor))
        self._kept.append(tensor)


def _members(values: Any) -> list[Any]:
    """Return the members of nested containers."""
    found = []
    for x in values:
        if isinstance(x, (list, tuple)):
            found += _members(x)
        else:
            found.append(x)
    return found


def _mapped(kwargs: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: mapped(x, change) for name, x in kwargs.items()} if kwargs else kwargs


def _identity(x: Any) -> Any:
    """Return what tells arguments apart: 1 from 1.0 and 0.0 from -0.0, too."""
    return x.place if isinstance(x, Node) else repr(x)


def _is_number(x: Any) -> bool:
    return type(x) in (int, float)


def _is_like(node: Node, tensor: Tensor) -> bool:
    return (node.shape, node.dtype, node.device) == (tensor.shape, tensor.dtype, tensor.device)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
