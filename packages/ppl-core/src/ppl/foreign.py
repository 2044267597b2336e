"""Another project's package ``ppl``, beside ours or in its place.

The registry has had a distribution ``ppl`` since 2018, a progress bar, whose import name is ``ppl``
too. Installed into one folder the two overwrite each other's ``ppl/__init__.py``, silently.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from .errors import PPLError, warn

DISTRIBUTION = "ppl"  # in the registry
_CURE = (
    "python -m pip uninstall ppl, then python -m pip install --force-reinstall --no-deps ppl-core"
)


class ForeignPackageError(PPLError, ImportError):
    """The package ``ppl`` of this process is another project's."""


def require_ours() -> None:
    """Refuse to work under another project's ``ppl/__init__.py``.

    Raises:
        ForeignPackageError: If that is what ``import ppl`` has found.
    """
    root = sys.modules["ppl"]
    if getattr(root, "__distribution__", None) != "ppl-core":
        raise ForeignPackageError(
            f"the package ppl in {getattr(root, '__file__', None)} is another project's, and has "
            f"taken the place of ppl-core's: {_CURE}"
        )


def notice(folders: list[str]) -> None:
    """Warn if another project's ``ppl`` is installed, or if its files are among ours.

    Args:
        folders: Where the parts of the package are found, ours first; one of them is a root.
    """
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pass
    else:
        warn(
            f"the distribution {DISTRIBUTION!r} {version} is installed, which is another project's "
            f"and overwrites files of ppl-core, or is overwritten by them: {_CURE}"
        )
        return
    roots = [folder for folder in dict.fromkeys(folders) if (Path(folder) / "__init__.py").exists()]
    if len(roots) > 1:
        warn(
            f"there are {len(roots)} packages named ppl: the one in {roots[0]} is in use, but "
            f"modules that it lacks are taken from {', '.join(roots[1:])}; remove or rename "
            "those, or take their folders off PYTHONPATH"
        )
