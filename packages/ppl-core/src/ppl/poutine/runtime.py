"""The effect stack: every primitive statement is a message that travels through the handlers.

A primitive such as ``sample`` builds a message (a dict, see :class:`Message`) and hands it to
:func:`apply_stack`. The handlers see it from the innermost outwards, may change it, fill in a value
or stop it; then the default behaviour supplies the value if nobody did; then the handlers that saw
the message see it once more on the way back (Plotkin & Pretnar 2009, "Handlers of algebraic
effects"; Moore & Gorinova 2018, "Effect handling for composable program transformations").

The stack lives in a context variable, so threads and asynchronous tasks do not mix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .cond_indep_stack_frame import CondIndepStackFrame
    from .messenger import Messenger

_stack: ContextVar[tuple[Messenger, ...]] = ContextVar("ppl_effect_stack", default=())


class InferDict(TypedDict, total=False):
    """Hints of a sample site for the inference algorithm; free keys are welcome."""

    enumerate: str | None
    expand: bool
    num_samples: int | None
    tmc: str
    is_auxiliary: bool
    is_observed: bool


class Message(TypedDict, total=False):
    """What a primitive statement says, and what the handlers made of it.

    ``type``: "sample", "param", "subsample", "barrier", ... ``fn``, ``args``, ``kwargs``: what
    produces the value. ``value``: the value once known. ``done``: nobody should compute it again.
    ``stop``: handlers further out do not see the message. ``scale``, ``mask``: what the log density
    is multiplied with and masked by. ``cond_indep_stack``: the plates around the site, outermost
    first. ``continuation``: called after everything else, to leave the program by an exception.
    """

    type: str
    name: str
    fn: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any
    is_observed: bool
    obs: Any
    scale: Any
    mask: Any
    cond_indep_stack: tuple[CondIndepStackFrame, ...]
    infer: dict[str, Any]
    done: bool
    stop: bool
    continuation: Callable[[Message], None] | None


def stack() -> tuple[Messenger, ...]:
    """Return the active handlers, outermost first."""
    return _stack.get()


def am_i_wrapped() -> bool:
    """Return whether any handler is active."""
    return bool(_stack.get())


class NonlocalExit(Exception):
    """Leaves the program at a site; carries the site to whoever catches it."""

    def __init__(self, site: Message, *args: Any, **kwargs: Any) -> None:
        super().__init__(site, *args, **kwargs)
        self.site = site

    def reset_stack(self) -> None:
        """Clear the handlers between the site and the first one that catches the exit."""
        for handler in reversed(_stack.get()):
            handler._reset()
            if handler._hides(self.site):
                break


def new_message(
    type: str, name: str | None, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return a fresh message with every field at its neutral value."""
    return {
        "type": type,
        "name": name,
        "fn": fn,
        "args": args,
        "kwargs": kwargs,
        "value": None,
        "is_observed": False,
        "scale": 1.0,
        "mask": None,
        "cond_indep_stack": (),
        "infer": {},
        "done": False,
        "stop": False,
        "continuation": None,
    }


def default_process_message(msg: dict[str, Any]) -> None:
    """Compute the value of a message by calling its function, unless it is done or observed."""
    if msg["done"] or msg["is_observed"] or msg["value"] is not None:
        msg["done"] = True
        return
    msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])
    msg["done"] = True


def apply_stack(initial_msg: dict[str, Any]) -> dict[str, Any]:
    """Send a message through the handlers and return it with its value.

    The handlers process it from the innermost outwards until one sets ``stop``; then the default
    behaviour runs; then the same handlers postprocess it, from the outermost inwards.
    """
    handlers = _stack.get()
    msg = initial_msg
    for handler in reversed(handlers):
        handler._process_message(msg)
        if msg["stop"]:
            handlers = handlers[handlers.index(handler) :]
            break
    default_process_message(msg)
    for handler in handlers:
        handler._postprocess_message(msg)
    if msg["continuation"] is not None:
        msg["continuation"](msg)
    return msg


def effectful(fn: Callable[..., Any] | None = None, type: str | None = None) -> Callable[..., Any]:
    """Return a version of ``fn`` whose calls are messages that handlers can see.

    Args:
        fn: A function or callable.
        type: The type of the message; a handler sees it in its method ``_pyro_<type>``.

    The keyword arguments ``name``, ``infer`` and ``obs`` of a call go to the message.

    Example:
        >>> @effectful(type="double")
        ... def double(x):
        ...     return 2 * x
        >>> double(2)
        4
    """
    if fn is None:
        return functools.partial(effectful, type=type)
    if getattr(fn, "_is_effectful", False):
        return fn
    if type is None:
        raise ValueError(f"effectful needs the type of its messages, got type=None for {fn!r}")

    @functools.wraps(fn, updated=())
    def statement(*args: Any, **kwargs: Any) -> Any:
        name = kwargs.pop("name", None)
        infer = kwargs.pop("infer", {})
        obs = kwargs.pop("obs", None)
        if not _stack.get():
            return obs if obs is not None else fn(*args, **kwargs)
        msg = new_message(type, name, fn, args, kwargs)
        msg["infer"], msg["value"], msg["is_observed"] = dict(infer), obs, obs is not None
        return apply_stack(msg)["value"]

    statement._is_effectful = True  # type: ignore[attr-defined]
    return statement


def ask(question: str) -> dict[str, Any]:
    """Return a message of type "inspect" that went through the handlers and computed nothing.

    Handlers that know something about the place where the program stands (its plates, masks,
    blocks) answer as they would at any site; those for sample sites are not asked.
    """
    msg = new_message("inspect", question, None, (), {})
    msg["done"] = True
    return apply_stack(msg) if _stack.get() else msg


def get_mask() -> Any:
    """Return the mask of the enclosing ``mask`` handlers: None, a bool or a tensor."""
    return ask("_get_mask")["mask"]


def get_plates() -> tuple[CondIndepStackFrame, ...]:
    """Return the frames of the enclosing plates, outermost first."""
    plates: tuple[CondIndepStackFrame, ...] = ask("_get_plates")["cond_indep_stack"]
    return plates
