"""Transforms in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..conditional import ComposeTransformModule


def iterated(
    repeats: int, base_fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> ComposeTransformModule:
    """Return the composition of learnable transforms that have parameters of their own.

    Args:
        repeats: How many.
        base_fn: Makes one of them, a torch module; called once for each.
        args: Its arguments.
        kwargs: The same by name.
    """
    return ComposeTransformModule([base_fn(*args, **kwargs) for _ in range(repeats)])
