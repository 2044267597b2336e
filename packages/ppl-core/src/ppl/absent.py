"""What an import of a part of ours says whose distribution is not installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


class AbsentFinder:
    """The last finder of Python's import system: asked for a module that nobody has found.

    For the modules that distributions of ours ship it raises an ImportError that names the
    distribution; it knows nothing of others.
    """

    def __init__(self) -> None:
        self.providers: dict[str, str] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Raise an error for a known module.

        Raises:
            MissingDistributionError: A ModuleNotFoundError, with the distribution to install.
        """
        if fullname in self.providers:
            from .plugins import missing

            raise missing(fullname, self.providers[fullname])


def announce(package: str, providers: Mapping[str, str]) -> None:
    """Make known which distribution ships each sub-package of a package."""
    finder = next((f for f in sys.meta_path if isinstance(f, AbsentFinder)), None)
    if finder is None:
        finder = AbsentFinder()
        sys.meta_path.append(finder)  # type: ignore[arg-type]
    finder.providers.update({f"{package}.{name}": owner for name, owner in providers.items()})


def is_installed(module: str) -> bool:
    """Return whether a module can be found, without importing it.

    Example:
        >>> is_installed("ppl.poutine"), is_installed("ppl.no_such_part")
        (True, False)
    """
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
