"""The handlers as functions: each wraps a program, decorates it, or opens a context.

``poutine.block(model, hide=["a"])`` returns a wrapped model, ``@poutine.block(hide=["a"])``
decorates one, and ``with poutine.block(hide=["a"]):`` opens a context.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..arguments import refuse_call
from ..errors import SiteTypeError
from .block_messenger import BlockMessenger
from .broadcast_messenger import BroadcastMessenger
from .collapse_messenger import CollapseMessenger
from .condition_messenger import ConditionMessenger
from .do_messenger import DoMessenger
from .enum_messenger import EnumMessenger
from .equalize_messenger import EqualizeMessenger
from .escape_messenger import EscapeMessenger
from .infer_config_messenger import InferConfigMessenger
from .lift_messenger import LiftMessenger
from .markov_messenger import markov as markov
from .mask_messenger import MaskMessenger
from .messenger import Messenger, public_name
from .messenger import unwrap as unwrap
from .queue_handler import queue as queue
from .reparam_messenger import ReparamMessenger
from .replay_messenger import ReplayMessenger
from .scale_messenger import ScaleMessenger
from .seed_messenger import SeedMessenger
from .substitute_messenger import SubstituteMessenger
from .trace_messenger import TraceMessenger
from .uncondition_messenger import UnconditionMessenger


def _make_handler(messenger: type[Messenger]) -> Callable[..., Any]:
    """Return the function form of a messenger class."""
    name = public_name(messenger)

    constructor = inspect.signature(messenger)

    def handler(fn: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        if fn is not None and not callable(fn):
            raise SiteTypeError(
                f"{name} wraps a callable, got {fn!r}; pass the model itself, not what it returns; "
                "to open a context pass its arguments by keyword"
            )
        try:
            instance = messenger(*args, **kwargs)
        except TypeError:
            refuse_call(name, constructor, args, kwargs)
            raise
        return instance if fn is None else instance(fn)

    functools.update_wrapper(handler, messenger, assigned=("__doc__", "__module__"), updated=())
    del handler.__wrapped__  # type: ignore[attr-defined]
    handler.__name__ = handler.__qualname__ = name
    fields = list(inspect.signature(messenger.__init__).parameters.values())[1:]
    first = inspect.Parameter("fn", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    handler.__signature__ = inspect.Signature([first, *map(_optional, fields)])  # type: ignore[attr-defined]
    return handler


def _optional(field: inspect.Parameter) -> inspect.Parameter:
    """The same argument, allowed after ``fn=None``."""
    if (
        field.default is not inspect.Parameter.empty
        or field.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD
    ):
        return field
    return field.replace(default=None)


block: Callable[..., Any] = _make_handler(BlockMessenger)
broadcast: Callable[..., Any] = _make_handler(BroadcastMessenger)
collapse: Callable[..., Any] = _make_handler(CollapseMessenger)
condition: Callable[..., Any] = _make_handler(ConditionMessenger)
do: Callable[..., Any] = _make_handler(DoMessenger)
enum: Callable[..., Any] = _make_handler(EnumMessenger)
equalize: Callable[..., Any] = _make_handler(EqualizeMessenger)
escape: Callable[..., Any] = _make_handler(EscapeMessenger)
infer_config: Callable[..., Any] = _make_handler(InferConfigMessenger)
lift: Callable[..., Any] = _make_handler(LiftMessenger)
mask: Callable[..., Any] = _make_handler(MaskMessenger)
reparam: Callable[..., Any] = _make_handler(ReparamMessenger)
replay: Callable[..., Any] = _make_handler(ReplayMessenger)
scale: Callable[..., Any] = _make_handler(ScaleMessenger)
seed: Callable[..., Any] = _make_handler(SeedMessenger)
substitute: Callable[..., Any] = _make_handler(SubstituteMessenger)
trace: Callable[..., Any] = _make_handler(TraceMessenger)
uncondition: Callable[..., Any] = _make_handler(UnconditionMessenger)
