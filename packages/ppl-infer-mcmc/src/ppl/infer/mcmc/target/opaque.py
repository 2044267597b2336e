"""Inference within a program is a computation: the handlers around it neither see nor change it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ppl.engine.recording import LastSite
from ppl.poutine.messenger import Messenger, block_messengers

P = ParamSpec("P")
T = TypeVar("T")


def opaque(fn: Callable[P, T]) -> Callable[P, T]:
    """Return a function that runs without the handlers that are active where it is called.

    The sites of a model that it runs are not recorded by a trace around it, nor conditioned,
    replayed, lifted or scaled by the plates and handlers there.

    >>> import ppl.distributions as dist
    >>> import ppl.poutine as poutine
    >>> from ppl.primitives import sample
    >>> with poutine.trace() as outer:
    ...     _ = opaque(lambda: sample("x", dist.Normal(0.0, 1.0)))()
    >>> len(outer.trace.nodes)
    0
    """

    @functools.wraps(fn)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with block_messengers(_interferes):
            return fn(*args, **kwargs)

    return alone


def _interferes(handler: Messenger) -> bool:
    """Whether a handler may see or change sites; that of a recording only names where it failed."""
    return not isinstance(handler, LastSite)
