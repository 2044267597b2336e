"""The base class of all handlers."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from torch import Tensor

from ..errors import SiteTypeError
from .runtime import _stack

Self = TypeVar("Self", bound="Messenger")


class _BoundMessenger:
    """A function that runs inside a handler."""

    def __init__(self, messenger: Messenger, fn: Callable[..., Any]) -> None:
        self.messenger = messenger
        self.fn = fn
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.messenger._for_one_call():
            return self.fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)  # decorated methods

    def __repr__(self) -> str:
        return f"{type(self.messenger).__name__}({self.fn!r})"


class Messenger:
    """A handler: a context manager, decorator and wrapper that sees the messages of primitives.

    A subclass defines ``_pyro_<type>(msg)``, called on the way out, and ``_pyro_post_<type>(msg)``,
    called on the way back, for the message types it cares about; both change ``msg`` in place.

    Example:
        >>> from ppl.poutine.runtime import effectful
        >>> @effectful(type="greet")
        ... def greet(name_of):
        ...     return "hello " + name_of
        >>> class Shout(Messenger):
        ...     def _pyro_post_greet(self, msg):
        ...         msg["value"] = msg["value"].upper()
        >>> with Shout():
        ...     greet("you")
        'HELLO YOU'
    """

    _keeps_notes = False  # whether attributes change while the handler is active

    def __repr__(self) -> str:
        """Show the handler as it is written: its function, and the arguments that say something."""
        parameters = inspect.signature(type(self)).parameters.values()
        own = ((p, self.__dict__.get(p.name, p.default)) for p in parameters)
        given = [f"{p.name}={_brief(x)}" for p, x in own if not _is_default(x, p.default)]
        return f"{public_name(type(self))}({', '.join(given)})"

    def __call__(self, fn: Callable[..., Any]) -> Any:
        """Return ``fn`` wrapped in this handler."""
        if not callable(fn):
            raise SiteTypeError(
                f"{type(self).__name__} wraps a callable, got {fn!r}; pass a model, or use it as "
                "a context manager: with poutine.handler(...):"
            )
        return _BoundMessenger(self, fn)

    def __enter__(self: Self) -> Self:
        handlers = _stack.get()
        if self in handlers:
            raise ValueError(
                f"{type(self).__name__} is already active; a handler cannot be entered twice"
            )
        _stack.set((*handlers, self))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        # an exception inside a handler may have left others above: drop them together
        handlers = _stack.get()
        _stack.set(handlers[: handlers.index(self)] if self in handlers else handlers)
        return None

    def _for_one_call(self: Self) -> Self:
        """Return the handler of one call of a wrapped program.

        That is a copy if the handler keeps notes while it runs, so that threads do not share them,
        or if the program calls itself: each level is then handled once more.
        """
        return self._copy() if self._keeps_notes or self in _stack.get() else self

    def _copy(self: Self) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def _reset(self) -> None:
        """Forget what was seen so far: the program is left by a NonlocalExit."""

    def _hides(self, msg: Any) -> bool:
        """Return whether handlers further out do not see a message."""
        return False

    def _initial_value(self, msg: dict[str, Any]) -> Any:
        """Return where inference shall start at a site that is about to be rewritten, or None."""
        return None

    def _process_message(self, msg: dict[str, Any]) -> None:
        method = getattr(self, "_pyro_" + msg["type"], None)
        if method is not None:
            method(msg)

    def _postprocess_message(self, msg: dict[str, Any]) -> None:
        method = getattr(self, "_pyro_post_" + msg["type"], None)
        if method is not None:
            method(msg)

    @classmethod
    def register(
        cls, fn: Callable[..., Any] | None = None, type: str | None = None, post: bool | None = None
    ) -> Callable[..., Any]:
        """Add an operation to the handler class; usable as decorator.

        Args:
            fn: A function of a message.
            type: The message type it handles.
            post: Whether it runs on the way back.
        """
        if fn is None:
            return functools.partial(cls.register, type=type, post=post)
        if type is None:
            raise ValueError(
                "an operation needs the message type it handles: register(fn, type='sample')"
            )
        setattr(cls, ("_pyro_post_" if post else "_pyro_") + type, staticmethod(fn))
        return fn

    @classmethod
    def unregister(
        cls, fn: Callable[..., Any] | None = None, type: str | None = None
    ) -> Callable[..., Any] | None:
        """Remove the operations that :meth:`register` added for ``type``."""
        if type is None:
            raise ValueError("name the message type to remove: unregister(fn, type='sample')")
        for name in ("_pyro_post_" + type, "_pyro_" + type):
            if name in cls.__dict__:
                delattr(cls, name)
        return fn


def public_name(messenger: type[Messenger]) -> str:
    """Return the name of the function that makes a handler.

    Example:
        >>> from ppl.poutine.infer_config_messenger import InferConfigMessenger
        >>> public_name(InferConfigMessenger)
        'infer_config'
    """
    name = messenger.__name__.removesuffix("Messenger")
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def _is_default(value: Any, default: Any) -> bool:
    made_inside = isinstance(value, functools.partial)
    return value is default or value is inspect.Parameter.empty or made_inside or value is None


def _brief(value: Any) -> str:
    """A tensor by its shape, a dict of values by its keys, a function by its name."""
    if isinstance(value, Tensor) and value.dim():
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_brief(x)}" for key, x in value.items()) + "}"
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else reprlib.repr(value)


def unwrap(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a program without the handlers that were wrapped around it.

    Example:
        >>> def model(): ...
        >>> unwrap(Messenger()(Messenger()(model))) is model
        True
    """
    while isinstance(fn, _BoundMessenger):
        fn = fn.fn
    if isinstance(fn, functools.partial) and isinstance(fn.func, _BoundMessenger):
        return functools.partial(unwrap(fn.func), *fn.args, **fn.keywords)  # a decorated method
    return fn


@contextmanager
def block_messengers(predicate: Callable[[Messenger], bool]) -> Any:
    """Take the active handlers that fulfil a predicate off the stack, for a ``with`` block."""
    handlers = _stack.get()
    blocked = [handler for handler in handlers if predicate(handler)]
    _stack.set(tuple(handler for handler in handlers if handler not in blocked))
    try:
        yield blocked
    finally:
        _stack.set(handlers)
