"""What all guides made from a model share as modules: names in the parameter store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ppl.poutine as poutine
from ppl.nn import PyroModule
from ppl.nn.tree import place
from ppl.primitives import get_param_store

from .loading import is_of_another


class GuideModule(PyroModule):
    """Base class of guides that are modules, whose parameters no other guide takes for its own.

    The first guide of a class has its name, ``AutoNormal``, the second ``AutoNormal_1``.
    """

    def __init__(self) -> None:
        PyroModule.__init__(self, name=type(self).__name__)  # also where a container is mixed in
        self._has_name = False  # of its own in the parameter store

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._has_name = False  # a copy is another guide

    def _claim_name(self) -> None:
        """Take a root name under which the parameter store has no parameter of another guide."""
        if self._has_name:
            return
        self._has_name = True
        base = type(self).__name__
        if self._pyro_name.rpartition("_")[0] != base and self._pyro_name != base:
            return  # a part of another module, which gives names
        mine = set(self.parameters())
        others = {n for n, x in get_param_store().named_parameters() if is_of_another(x, mine)}
        names = [base, *(f"{base}_{i}" for i in range(1, len(others) + 1))]
        free = (n for n in names if not any(other.startswith(f"{n}.") for other in others))
        place(self, next(free), self._pyro_context)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read parameters as in a call, though no handler sees it."""
        self._claim_name()
        with poutine.block(), self._pyro_context.call():
            yield

    def _read_store(self) -> None:
        """Take over the values that the parameter store has got otherwise: by ``load``."""
        store = get_param_store()
        with self._reading():
            for module in self.modules():
                for name in getattr(module, "_pyro_params", ()):
                    if module._path(name) in store:  # type: ignore[operator]
                        getattr(module, name)
