"""What all guides made from a model share as modules: names in the parameter store of their own."""

from __future__ import annotations

from typing import Any

import ppl.poutine as poutine
from ppl.nn import PyroModule
from ppl.nn.tree import is_managed, place, public_name
from ppl.primitives import get_param_store

from .loading import is_of_another, is_owned


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

    def _read_store(self) -> None:
        """Take over the values that the parameter store has got otherwise: by ``load``."""
        self._claim_name()
        stored = get_param_store().named_parameters()
        if all(is_owned(x) for n, x in stored if n.startswith(f"{self._pyro_name}.")):
            return
        self._agree_with_store()

    def _agree_with_store(self) -> None:
        """Read all parameters, unseen: store and guide agree on them, and the name is taken."""
        with poutine.block(), self._pyro_context.call():
            for module in filter(is_managed, self.modules()):
                params = (public_name(module, key) for key in module._parameters)
                for name in (*params, *module._modules):
                    getattr(module, name)
