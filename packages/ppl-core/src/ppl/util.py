"""Random seeds."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def set_rng_seed(rng_seed: int) -> None:
    """Seed torch (all devices), numpy and Python's ``random``.

    Example:
        >>> set_rng_seed(3); a = torch.randn(2)
        >>> set_rng_seed(3); bool((a == torch.randn(2)).all())
        True
    """
    torch.manual_seed(rng_seed)
    random.seed(rng_seed)
    np.random.seed(rng_seed % 2**32)


def get_rng_state() -> dict[str, Any]:
    """Return the state of the generators that :func:`set_rng_seed` seeds."""
    state = {
        "torch": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": np.random.get_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the state that :func:`get_rng_state` returned."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
