"""Classes made on demand: ``PyroModule[nn.Linear]``."""

from __future__ import annotations

import copyreg
import functools
import threading
from typing import Any

from torch import nn

from ..arguments import NamesArguments
from ..errors import SiteError
from .containers import MIXINS

_making = threading.RLock()


class PyroModuleMeta(NamesArguments):
    """The class of PyroModule: subscribing it mixes it into a class of torch."""

    def __getitem__(cls, base: Any) -> Any:
        """Return ``base`` with PyroModule mixed in; one and the same class for one base."""
        if isinstance(base, type) and issubclass(base, nn.Module):
            with _making:  # or two threads could make a class each
                return _mixed(cls, base)  # type: ignore[arg-type]  # mypy: a class is no instance
        raise SiteError(
            f"{cls.__name__}[...] takes a subclass of torch.nn.Module, got {base!r}; to convert an "
            "instance use to_pyro_module_()"
        )


@functools.cache
def _mixed(cls: Any, base: Any) -> Any:
    if issubclass(base, cls):
        return base
    if issubclass(cls, base):
        return cls
    members = {"__module__": cls.__module__, "__doc__": base.__doc__, "_pyro_mixed": (cls, base)}
    mixins = [mixin for container, mixin in MIXINS.items() if issubclass(base, container)]
    return type(cls)("Pyro" + base.__name__, (*mixins, base, cls), members)


def _reduce(cls: PyroModuleMeta) -> Any:
    """Pickle a class made here by what it was made of, and any other by its name."""
    made_of = cls.__dict__.get("_pyro_mixed")
    return cls.__qualname__ if made_of is None else (_mixed, made_of)


copyreg.pickle(PyroModuleMeta, _reduce)
