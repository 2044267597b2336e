"""Several executions of a program at once: particles, in a plate outside of its own."""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from ppl.primitives import plate

from .arguments import sizes_of
from .util import guess_max_plate_nesting

Model = Callable[..., Any]
PARTICLES = "num_particles_vectorized"  # the name of the plate


def vectorize(fn: Model, num_particles: int, max_plate_nesting: int) -> Model:
    """Return a program that runs so many particles at once, in a plate outside of its own.

    Args:
        fn: The program; it must be vectorized itself.
        num_particles: How many.
        max_plate_nesting: The number of batch dimensions that its plates use.
    """

    def over_particles(*args: Any, **kwargs: Any) -> Any:
        with plate(PARTICLES, num_particles, dim=-1 - max_plate_nesting):
            return fn(*args, **kwargs)

    return over_particles


class Nesting:
    """The plate nesting of a model, of a run if it is not given.

    The run is repeated for another model, and for data of another size.
    """

    def __init__(self) -> None:
        self._model: weakref.ref[Any] | None = None
        self._sizes: Hashable = ()
        self._found = 0

    def of(self, given: float, model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """Return the nesting that was given, unless that is infinite; else that of the model."""
        if given != math.inf:
            return int(given)
        sizes = sizes_of(args, kwargs)
        if self._model is None or self._model() is not model or self._sizes != sizes:
            self._found = guess_max_plate_nesting(model, args, kwargs)
            self._model, self._sizes = _reference(model), sizes
        return self._found

    def __reduce__(self) -> tuple[Any, ...]:
        return Nesting, ()  # a copy looks for itself


def _reference(model: Model) -> weakref.ref[Any] | None:
    """A weak reference; None to what has none, such as a bound method, made anew at each access."""
    try:
        return None if inspect.ismethod(model) else weakref.ref(model)
    except TypeError:
        return None
