"""Record what a function does to tensors."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map_only

from ..lines import line_of_error, quote
from ..poutine.messenger import Messenger
from ..validation import unchecked
from .cpp_library import check_torch_cache
from .refusals import CaptureError, refusals
from .torch_internals import cheap_values

_recording: ContextVar[bool] = ContextVar("ppl_recording", default=False)
one_at_a_time = threading.RLock()  # torch's tracer and compiler patch what all threads share


def is_recording() -> bool:
    """Return whether the code that asks is being recorded."""
    return _recording.get()


def record(fn: Callable[..., Any], *example_args: Any) -> GraphModule:
    """Return a replayable tensor program of what ``fn(*example_args)`` does.

    Args:
        fn: A function of (nested containers of) tensors that returns the like. Tensors it closes
            over, parameters and data, are constants of the program.
        example_args: Arguments of the shapes, dtypes and devices that all replays will have. One
            tensor may stand in several places: they are different arguments all the same.

    Returns:
        A callable with the signature of ``fn``.

    Raises:
        CaptureError: If ``fn`` branches on values or uses an operation that cannot be recorded.

    Example:
        >>> program = record(torch.func.grad(lambda x: (x**3).sum()), torch.ones(2))
        >>> program(torch.tensor([1.0, 2.0]))
        tensor([ 3., 12.])
    """
    return record_objects(fn, *tree_map_only(Tensor, alias, example_args))


def alias(tensor: Tensor) -> Tensor:
    """Return another tensor object with the same memory: recordings tell arguments by identity."""
    return tensor.detach().requires_grad_(tensor.requires_grad)


def record_objects(fn: Callable[..., Any], *example_args: Any) -> GraphModule:
    """Record as :func:`record` does, but take a tensor that ``fn`` closes over for the argument.

    Args:
        fn: A function.
        example_args: Its arguments; no two of them may be one object.
    """
    check_torch_cache()
    last = LastSite()

    @functools.wraps(fn)
    def watched(*args: Any) -> Any:
        with refusals():
            return fn(*args)

    try:
        with one_at_a_time, unchecked(), cheap_values(), while_recording(), last:
            program: GraphModule = make_fx(watched)(*example_args)
    except Exception as error:
        kind = "" if isinstance(error, CaptureError) else f"{type(error).__name__}: "
        raise CaptureError(
            f"the function cannot be recorded as a tensor program{_place(error, last)}: "
            f"{kind}{error}"
        ) from error
    program.graph.eliminate_dead_code(has_effect)
    program.recompile()
    return program


class LastSite(Messenger):
    """Remembers the name of the last sample site."""

    name: str | None = None

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        self.name = msg["name"]


def _place(error: Exception, last: LastSite) -> str:
    """Say which line of the user's raised an error, and after which site."""
    line = line_of_error(error)
    at = f" at {quote(line)}" if line else ""
    return at + (f", after site {last.name!r}" if last.name else "")


@contextmanager
def while_recording() -> Iterator[None]:
    """Let :func:`is_recording` be true inside a ``with`` block."""
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


def draws(program: GraphModule) -> bool:
    """Return whether a program draws at random."""
    tags = (getattr(node.target, "tags", ()) for node in program.graph.nodes)
    return any(torch.Tag.nondeterministic_seeded in found for found in tags)


def has_effect(node: Node) -> bool:
    """Whether a node matters though nobody uses its value: so do checks of factorizations."""
    return node.is_impure() or node.target is torch.ops.aten._linalg_check_errors.default
