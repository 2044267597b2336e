"""Whether arguments, values and models are checked: one switch for ppl and torch alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_enabled = __debug__


def is_validation_enabled() -> bool:
    """Return whether models, arguments and values are checked."""
    return _enabled


def enable_validation(is_validate: bool = True) -> None:
    """Switch the checks of ppl on or off, and those of torch's distributions with them.

    Checks cost time and depend on values, so inference switches them off while it records or
    compiles a model, after one checked run.

    Example:
        >>> enable_validation(True)
        >>> is_validation_enabled()
        True
    """
    global _enabled
    _enabled = bool(is_validate)
    torch.distributions.Distribution.set_default_validate_args(_enabled)


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch the checks on or off for the duration of a ``with`` block.

    Example:
        >>> with validation_enabled(False):
        ...     is_validation_enabled()
        False
    """
    ppl_flag, torch_flag = _enabled, torch.distributions.Distribution._validate_args
    enable_validation(is_validate)
    try:
        yield
    finally:
        enable_validation(ppl_flag)
        torch.distributions.Distribution.set_default_validate_args(torch_flag)
