"""``seed``: run a program from a fixed seed."""

from __future__ import annotations

from typing import Any

from ..errors import SiteError
from ..util import get_rng_state, set_rng_seed, set_rng_state
from .messenger import Messenger


class SeedMessenger(Messenger):
    """Seeds the generators on entry and restores on exit the state that it found.

    Args:
        rng_seed: An int.
    """

    def __init__(self, rng_seed: int) -> None:
        if not isinstance(rng_seed, int):
            raise SiteError(f"seed needs an int, got {rng_seed!r}")
        self.rng_seed = rng_seed

    def __enter__(self) -> SeedMessenger:
        self._found = get_rng_state()
        set_rng_seed(self.rng_seed)
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        set_rng_state(self._found)
        return super().__exit__(*exception)
