"""Which parameter store is the current one: the one of the process, or one of a block's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .param_store import ParamStoreDict

_default_store = ParamStoreDict()
_current_store: ContextVar[ParamStoreDict] = ContextVar("ppl_param_store", default=_default_store)


def get_param_store() -> ParamStoreDict:
    """Return the parameter store that ``param`` statements use here.

    That is the store of the innermost enclosing :func:`param_store`, or else the one store of the
    process, which all threads share.
    """
    return _current_store.get()


def clear_param_store() -> None:
    """Forget all parameters of the current store: do so before each experiment of a session."""
    get_param_store().clear()


@contextmanager
def param_store(store: ParamStoreDict | None = None) -> Iterator[ParamStoreDict]:
    """Use a parameter store of its own for a ``with`` block, or for each call of a function.

    Programs that train several models keep their parameters apart in this way, one after another
    or side by side: a thread starts with the store of the process, whatever block started it, and
    opens a block for a store of its own.

    Args:
        store: The store to use, which keeps its parameters; an empty one by default.

    Example:
        >>> import torch
        >>> from ppl.primitives import param
        >>> with param_store() as mine:
        ...     loc = param("loc", torch.tensor(1.0))
        >>> list(mine), "loc" in get_param_store()
        (['loc'], False)
    """
    outside = _current_store.get()
    inside = ParamStoreDict() if store is None else store
    _current_store.set(inside)
    try:
        yield inside
    finally:
        _current_store.set(outside)
