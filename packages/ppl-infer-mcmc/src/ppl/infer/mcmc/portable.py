"""Copies and pickles of kernels and drivers: what they are, without what was made for a run."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ppl.errors import ArgumentError, warn

_is_strict: ContextVar[bool] = ContextVar("ppl_pickle_is_strict", default=False)


@contextmanager
def strict_pickles() -> Iterator[None]:
    """Fail, instead of leaving out what cannot be pickled: whoever receives it needs it."""
    token = _is_strict.set(True)
    try:
        yield
    finally:
        _is_strict.reset(token)


@dataclass(frozen=True)
class LeftOut:
    """Stands for an object that could not be pickled."""

    what: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ArgumentError(f"{self.what} was left out of the pickle: set it again before the run")

    def __repr__(self) -> str:
        return f"<left out of the pickle: {self.what}>"


class _Carried:
    """An attribute of an object under way: left out, with a warning, if it cannot be pickled."""

    def __init__(self, owner: str, name: str, value: Any) -> None:
        self.owner, self.name, self.value = owner, name, value

    def __deepcopy__(self, memo: dict[int, Any]) -> _Carried:
        return _Carried(self.owner, self.name, copy.deepcopy(self.value, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Carried, (self.owner, self.name, self._picklable())

    def _picklable(self) -> Any:
        if _is_strict.get():
            return self.value
        try:
            with strict_pickles():
                pickle.dumps(self.value)
        except Exception as error:  # whatever a user's object raises
            warn(
                f"{self.name} of {self.owner} is left out of the pickle ({error}); set it again "
                "before the next run, or define it at the top level of a module"
            )
            return LeftOut(f"{self.name} of {self.owner}, {self.value!r},")
        return self.value


class Portable:
    """What can be copied and pickled, also after a run and if a user's function in it cannot.

    Attributes:
        _of_a_run: Names of attributes that are made anew by each run: copies do not have them.
        _own: Names of attributes that are ours and pickle as they are.
    """

    _of_a_run: ClassVar[tuple[str, ...]] = ()
    _own: ClassVar[tuple[str, ...]] = ()

    def __getstate__(self) -> dict[str, Any]:
        state = {n: None if n in self._of_a_run else x for n, x in vars(self).items()}
        owner = type(self).__name__
        return {
            n: x if n in self._own or _is_plain(x) else _Carried(owner, n, x)
            for n, x in state.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({n: x.value if isinstance(x, _Carried) else x for n, x in state.items()})


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, Tensor, Portable))


def refuse_left_out(thing: Any) -> None:
    """Refuse to run a kernel or driver some of whose attributes were left out of its pickle.

    Raises:
        ArgumentError: If there is one.
    """
    for value in vars(thing).values():
        if isinstance(value, LeftOut):
            value()
