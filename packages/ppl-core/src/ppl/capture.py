"""Record a function once, with all its handlers, and replay the tensor program it was.

Effect handlers are Python that compilers cannot follow. What they *do* is a sequence of tensor
operations, and ``make_fx`` records these while the function runs once, through ``torch.func``
transforms too: ``record(vmap(grad_and_value(potential)), z)``. The replay has no handlers left.

A recording is right for one structure: the shapes, dtypes and devices of its example arguments, and
a flow of control that does not depend on values. Random draws are recorded as operations, so a
replay draws anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from .errors import PPLError
from .validation import validation_enabled

Fn = TypeVar("Fn", bound=Callable[..., Any])


class CaptureError(PPLError, RuntimeError):
    """A function cannot be recorded: it depends on values in a way that a tensor program cannot."""


def record(fn: Callable[..., Any], *example_args: Any) -> Callable[..., Any]:
    """Return a replayable tensor program of what ``fn(*example_args)`` does.

    Args:
        fn: A function of (nested containers of) tensors that returns the like. Tensors it closes
            over, parameters and data, are constants of the program.
        example_args: Arguments of the shapes, dtypes and devices that all replays will have.

    Returns:
        A callable with the signature of ``fn``.

    Raises:
        CaptureError: If ``fn`` branches on values or uses an operation that cannot be recorded.

    Example:
        >>> program = record(torch.func.grad(lambda x: (x**3).sum()), torch.ones(2))
        >>> program(torch.tensor([1.0, 2.0]))
        tensor([ 3., 12.])
    """
    try:
        with validation_enabled(False):
            program = make_fx(fn)(*example_args)
    except Exception as error:
        raise CaptureError(
            f"the function cannot be recorded as a tensor program: {type(error).__name__}: {error}"
        ) from error
    program.graph.eliminate_dead_code(_has_effect)
    program.recompile()
    return program


def _has_effect(node: Node) -> bool:
    """Whether a node matters though nobody uses its value: so do checks of factorizations."""
    return node.is_impure() or node.target is torch.ops.aten._linalg_check_errors.default


def agree(one: Any, other: Any, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Return whether two results have the same structure and, up to rounding, the same values."""
    left, right = tree_leaves(one), tree_leaves(other)
    return len(left) == len(right) and all(
        torch.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )
