"""Notices of what takes seconds before there are draws to count."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_shown: ContextVar[bool] = ContextVar("ppl_notices_are_shown", default=False)
_is_silenced: ContextVar[bool] = ContextVar("ppl_notices_are_silenced", default=False)


@contextmanager
def shown(is_shown: bool) -> Iterator[None]:
    """Say whether what is :func:`announced` inside the block is shown."""
    token = _is_shown.set(is_shown)
    try:
        yield
    finally:
        _is_shown.reset(token)


@contextmanager
def silenced() -> Iterator[None]:
    """Show no notices inside the block, whatever is said there."""
    token = _is_silenced.set(True)
    try:
        yield
    finally:
        _is_silenced.reset(token)


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Show at once, on stderr, what is being done in a ``with`` block."""
    if not _is_shown.get() or _is_silenced.get():
        yield
        return
    from tqdm.auto import tqdm

    with tqdm(total=0, desc=text, file=sys.stderr, bar_format="{desc}", leave=False):
        yield
