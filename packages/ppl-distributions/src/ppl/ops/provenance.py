"""Tensors that know which variables they were computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

T = TypeVar("T")


class ProvenanceTensor(Tensor):
    """A view of a tensor that carries a set; whatever torch computes from it carries it on.

    Only functions of torch are followed: a value that goes through Python numbers or NumPy loses
    its provenance.

    Args:
        data: The tensor; a tensor with a provenance adds its own.
        provenance: What the tensor depends on.

    Example:
        >>> import torch
        >>> x = track_provenance(torch.tensor(1.0), frozenset("x"))
        >>> y = track_provenance(torch.tensor(2.0), frozenset("y"))
        >>> sorted(get_provenance(x + y))
        ['x', 'y']
    """

    _provenance: frozenset[Any]
    _data: Tensor

    def __new__(
        cls, data: Tensor, provenance: frozenset[Any] = frozenset(), **kwargs: Any
    ) -> ProvenanceTensor:
        """Return a view of ``data`` that depends on ``provenance``."""
        plain = detach_provenance(data)
        tensor = plain.as_subclass(cls)
        tensor._data = plain
        tensor._provenance = frozenset(provenance) | get_provenance(data)
        return tensor

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Return the text of the tensor and of what it depends on."""
        return f"ProvenanceTensor({self._data!r}, {set(self._provenance)!r})"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute with plain tensors and mark the results."""
        kwargs = kwargs or {}
        result = func(*detach_provenance(args), **detach_provenance(kwargs))
        return track_provenance(result, get_provenance((args, kwargs)))


def track_provenance(x: T, provenance: frozenset[Any]) -> T:
    """Return ``x`` with all its tensors marked to depend on ``provenance``, too.

    Args:
        x: A tensor, or tuples, lists, dictionaries and sets of tensors and other things.
        provenance: Anything hashable, such as names of sites.
    """
    if not provenance:
        return x

    def mark(leaf: Any) -> Any:
        return ProvenanceTensor(leaf, provenance) if isinstance(leaf, Tensor) else leaf

    return _map(mark, x)


def get_provenance(x: Any) -> frozenset[Any]:
    """Return what the tensors of ``x`` depend on, together."""
    found: set[Any] = set()
    for leaf in tree_leaves(x):
        if isinstance(leaf, ProvenanceTensor):
            found |= leaf._provenance
        elif isinstance(leaf, set | frozenset):
            found = found.union(*map(get_provenance, leaf))
    return frozenset(found)


def detach_provenance(x: T) -> T:
    """Return ``x`` with plain tensors in place of those that know what they depend on."""

    def plain(leaf: Any) -> Any:
        return leaf._data if isinstance(leaf, ProvenanceTensor) else leaf

    return _map(plain, x)


def extract_provenance(x: T) -> tuple[T, frozenset[Any]]:
    """Return ``x`` with plain tensors, and what these depend on.

    Example:
        >>> import torch
        >>> extract_provenance([track_provenance(torch.tensor(1.0), frozenset("x"))])
        ([tensor(1.)], frozenset({'x'}))
    """
    return detach_provenance(x), get_provenance(x)


def _map(fn: Callable[[Any], Any], x: T) -> T:
    """Return ``x`` with ``fn`` of its leaves; sets, which torch takes for leaves, have theirs."""

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, set | frozenset):
            return type(leaf)(_map(fn, member) for member in leaf)
        return fn(leaf)

    return cast(T, tree_map(visit, x))
