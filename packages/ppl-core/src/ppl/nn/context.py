"""Calls: while one is under way, reading an attribute of a module is a statement of a model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from .module import PyroModule

P = ParamSpec("P")
T = TypeVar("T")
Self = TypeVar("Self", bound="PyroModule")


class Context:
    """What the modules of one tree have in common: whether a call is under way, and its cache.

    The object is only an identity. Its state is that of the thread or task that makes the call, so
    calls side by side do not mix, and there is nothing to copy or pickle; but the modules of a
    copied tree know that they are copies, and those of a tree whether their names begin with one
    that its maker chose.
    """

    def __init__(self, is_copy: bool = False) -> None:
        self.is_copy = is_copy
        self.is_named = False

    def __reduce__(self) -> Any:
        return Context, (True,)

    @property
    def active(self) -> bool:
        """Whether a call of a module of this tree is under way."""
        return self in _caches.get()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make the ``with`` block a call; one inside another call of the tree is a part of it."""
        if self.active:
            yield
            return
        token = _caches.set({**_caches.get(), self: {}})
        try:
            yield
        finally:
            _caches.reset(token)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return what ``compute`` returned the first time that this call asked for ``name``."""
        cache = _caches.get()[self]
        if name not in cache:
            cache[name] = compute()
        value: T = cache[name]
        return value


_caches: ContextVar[dict[Context, dict[str, Any]]] = ContextVar(
    "ppl_module_calls",
    default={},  # noqa: B039 - replaced, never changed
)


def pyro_method(fn: Callable[Concatenate[Self, P], T]) -> Callable[Concatenate[Self, P], T]:
    """Return a method of a PyroModule that is a call: the attributes it reads are statements.

    For public methods other than ``forward`` that read parameters or samples; samples are cached
    until the outermost call ends.

    Example:
        >>> import torch
        >>> from ppl.distribution import Delta
        >>> from ppl.nn import PyroModule, PyroSample
        >>> class Model(PyroModule):
        ...     @pyro_method
        ...     def draw(self):
        ...         return self.x
        >>> model = Model()
        >>> model.x = PyroSample(Delta(torch.tensor(1.0)))
        >>> model.draw()
        tensor(1.)
    """

    @functools.wraps(fn)
    def call(self: Self, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._pyro_context.call():
            return fn(self, *args, **kwargs)

    return call  # type: ignore[return-value]
