"""``seed``: run a program from a fixed seed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..errors import SiteTypeError
from ..randomness import seeded
from .messenger import Messenger


class SeedMessenger(Messenger):
    """Seeds the generators on entry and restores on exit the state that it found.

    Threads with a seed each draw side by side what each would draw alone; see
    :func:`ppl.randomness.seeded`.

    Args:
        rng_seed: An int.
    """

    _keeps_notes = True

    def __init__(self, rng_seed: int) -> None:
        if not hasattr(rng_seed, "__index__"):
            raise SiteTypeError(f"seed needs an int, got {rng_seed!r}")
        self.rng_seed: int = int(rng_seed)

    def __enter__(self) -> SeedMessenger:
        with ExitStack() as blocks:
            blocks.enter_context(seeded(self.rng_seed))
            super().__enter__()
            self._blocks = blocks.pop_all()
        return self

    def __exit__(self, *exception: Any) -> Any:
        self._blocks.close()
        return super().__exit__(*exception)
