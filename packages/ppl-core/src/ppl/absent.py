"""What an import of a part of ours says whose distribution is not installed."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from typing import Any

from .errors import AbsentAttributeError, MissingDistributionError


class AbsentFinder:
    """The last finder of Python's import system: asked for a module that nobody has found.

    The import of a module that a distribution of ours ships then fails with the name of that
    distribution; the finder knows nothing of other modules. The error comes from loading, since
    tools ask finders about modules that are there, too.
    """

    def __init__(self) -> None:
        self.providers: dict[str, str] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a known module, whose loading fails."""
        return ModuleSpec(fullname, self) if fullname in self.providers else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Raise the error.

        Raises:
            MissingDistributionError: A ModuleNotFoundError, with the distribution to install.
        """
        from .plugins import missing

        raise missing(spec.name, self.providers[spec.name])

    def exec_module(self, module: Any) -> None:
        """Be part of the protocol of loaders; never reached."""


def absent_is_no_attribute(get: Callable[[str], object]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module whose absent parts are no attributes of it.

    The names are to be announced, so that ``from package import name`` asks the finder, whose error
    says what to install: Python would drop the message of an AttributeError there.
    """

    @functools.wraps(get)
    def get_or_refuse(name: str) -> object:
        try:
            return get(name)
        except MissingDistributionError as error:
            raise AbsentAttributeError(str(error)) from error

    return get_or_refuse


def announce(package: str, providers: Mapping[str, str]) -> None:
    """Make known which distribution provides each sub-package, or attribute, of a package."""
    finder = next((f for f in sys.meta_path if isinstance(f, AbsentFinder)), None)
    if finder is None:
        finder = AbsentFinder()
        sys.meta_path.append(finder)
    finder.providers.update({f"{package}.{name}": owner for name, owner in providers.items()})


def is_installed(module: str) -> bool:
    """Return whether a module can be found, without importing it.

    Example:
        >>> is_installed("ppl.poutine"), is_installed("ppl.no_such_part")
        (True, False)
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # nor is its parent
        return False
    return spec is not None and not isinstance(spec.loader, AbsentFinder)
