"""Seeds, and the states of the generators of random numbers."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .errors import SiteError
from .generators import OwnGenerators, own_generators


def set_rng_seed(rng_seed: int) -> None:
    """Seed torch (all devices), numpy and Python's ``random``.

    In a thread that has generators of its own, see :func:`seeded`, it seeds these alone.

    Example:
        >>> set_rng_seed(3); a = torch.randn(2)
        >>> set_rng_seed(3); bool((a == torch.randn(2)).all())
        True
    """
    own = own_generators()
    if own is not None:
        own.seed(rng_seed)
        return
    torch.manual_seed(rng_seed)
    random.seed(rng_seed)
    np.random.seed(rng_seed % 2**32)


def get_rng_state() -> dict[str, Any]:
    """Return the state of the generators that :func:`set_rng_seed` seeds."""
    own = own_generators()
    if own is not None:
        return own.get_state()
    state = {
        "torch": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": np.random.get_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the state that :func:`get_rng_state` returned.

    Raises:
        SiteError: If that was not of the same generators, those of the process or of a thread.
    """
    own = own_generators()
    if (own is not None) != ("own" in state):
        raise SiteError(
            "a state of the generators of the process cannot be restored in a thread that has its "
            "own (inside poutine.seed), nor the other way round; restore it where it was taken"
        )
    if own is not None:
        own.set_state(state)
        return
    torch.set_rng_state(state["torch"])
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def seeded(rng_seed: int) -> Iterator[None]:
    """Draw from a seed inside a ``with`` block, and leave the generators as they were.

    In the main thread the block seeds the generators of the process, which all threads without
    such a block draw from. In another thread it has generators of torch of its own, which make the
    same numbers, and leaves those of the process, with numpy and ``random``, alone. So threads with
    a block each draw side by side what each would draw alone.

    Example:
        >>> with seeded(3): a = torch.randn(2)
        >>> with seeded(3): bool((a == torch.randn(2)).all())
        True
    """
    if threading.current_thread() is not threading.main_thread():
        with OwnGenerators(rng_seed):
            yield
        return
    found = get_rng_state()
    set_rng_seed(rng_seed)
    try:
        yield
    finally:
        set_rng_state(found)
