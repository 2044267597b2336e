"""Entry-point registries: our own classes and those of others are found in one way.

A distribution registers a name in its ``pyproject.toml``::

    [project.entry-points."ppl.distributions"]
    AsymmetricLaplace = "ppl_acme:AsymmetricLaplace"

Listing reads installed metadata only and imports nothing; a plugin that fails to import breaks its
own name and nothing else. Two owners of one name are refused, with both named.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import NoReturn

from .absent import is_installed
from .errors import (
    DuplicatePluginError,
    MissingDistributionError,
    PluginLoadError,
    UnknownPluginError,
)
from .foreign import require_ours

require_ours()  # all parts of ppl come through here

GROUPS = (
    "ppl.distributions",
    "ppl.constraints",
    "ppl.transforms",
    "ppl.elbos",
    "ppl.kernels",
    "ppl.guides",
    "ppl.methods",
    "ppl.reparams",
    "ppl.optimizers",
    "ppl.infer",
    "ppl.settings",
)


DISTRIBUTIONS = (
    "ppl-all",
    "ppl-autoguide",
    "ppl-contrib-flows",
    "ppl-core",
    "ppl-distributions",
    "ppl-infer",
    "ppl-infer-mcmc",
    "ppl-infer-svi",
    "ppl-optim",
)  # ours


@cache
def entries(group: str) -> dict[str, tuple[metadata.EntryPoint, ...]]:
    """Return the entry points of a group by name, without importing any of them.

    The result is read once per process; call ``entries.cache_clear()`` after installing a plugin
    into a running interpreter. A name with more than one entry has several owners.
    """
    found: dict[str, dict[tuple[str, str], metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=group):
        # an editable and a regular install of one distribution list the same entry twice
        found.setdefault(entry.name, {})[(owner(entry), entry.value)] = entry
    return {name: tuple(found[name].values()) for name in sorted(found)}


def names(group: str) -> list[str]:
    """Return the sorted names that installed distributions register in ``group``."""
    return list(entries(group))


def owner(entry: metadata.EntryPoint) -> str:
    """Return the name of the distribution that registers an entry point."""
    return entry.dist.name if entry.dist is not None else "an unnamed distribution"


def load(group: str, name: str, provider: str | None = None) -> object:
    """Import and return the object that is registered as ``name`` in ``group``.

    Args:
        group: One of :data:`GROUPS`.
        name: The registered name.
        provider: The distribution of ours that provides ``name``, for the error when it is absent.

    Raises:
        MissingDistributionError: If nobody registers the name and ``provider`` is known.
        UnknownPluginError: If nobody registers the name; the message offers the nearest ones.
        DuplicatePluginError: If two distributions register it.
        PluginLoadError: If the object cannot be imported.
    """
    owners = entries(group).get(name, ())
    if not owners:
        raise _missing(group, name, provider)
    if len(owners) > 1:
        listed = " and ".join(f"{owner(entry)!r} ({entry.value})" for entry in owners)
        raise DuplicatePluginError(
            f"{name!r} in {group!r} is registered by {listed}; uninstall one, or import the "
            "object you want from its own module"
        )
    try:
        return owners[0].load()
    except Exception as error:
        raise PluginLoadError(
            f"{name!r} in {group!r} is registered by {owner(owners[0])!r} as {owners[0].value!r}, "
            f"which fails to import: {type(error).__name__}: {error}"
        ) from error


def attribute(module: str, group: str, name: str, provider: str | None = None) -> object:
    """Return what a module has by the plugins of a group, for its ``__getattr__``.

    Args:
        module: The module's name.
        group: One of :data:`GROUPS`.
        name: The attribute.
        provider: The distribution of ours that provides it, if one does.

    Raises:
        AttributeError: If nobody provides or registers the name; offers the nearest one.
        Exception: What :func:`load` raises.
    """
    if provider is not None or name in entries(group):
        return load(group, name, provider)
    return misspelt(module)(name)


def misspelt(module: str) -> Callable[[str], NoReturn]:
    """Return the ``__getattr__`` of a module that has nothing but what it shows.

    Example:
        >>> misspelt("ppl.poutine")("sedd")
        Traceback (most recent call last):
        AttributeError: module 'ppl.poutine' has no attribute 'sedd'; did you mean 'seed'?
    """

    def refuse(name: str) -> NoReturn:
        public = [shown for shown in dir(sys.modules[module]) if not shown.startswith("_")]
        hint = "" if name.startswith("__") else nearest(name, public)  # Python asks for many
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return refuse


def load_module(module: str, provider: str, wanted: str | None = None) -> object:
    """Import and return a module of another distribution of ours.

    Args:
        module: Its path.
        provider: The distribution that ships it.
        wanted: What to call it in the error; default: its path.

    Raises:
        MissingDistributionError: If it is not installed.
    """
    if not is_installed(module):
        raise missing(wanted or module, provider)
    return importlib.import_module(module)


def missing(name: str, provider: str) -> MissingDistributionError:
    """Return the error for a known name that its distribution does not provide here."""
    try:
        version = metadata.version(provider)
    except metadata.PackageNotFoundError:
        return MissingDistributionError(
            f"{name} is provided by {provider}, which is not installed: pip install {provider} "
            "(before its first release, in a clone of ppl: pip install ./packages/*)"
        )
    return MissingDistributionError(
        f"{name} is to be provided by {provider}, whose installed version {version} does not have "
        f"it: pip install --upgrade {provider}; if several commands of pip install --target filled "
        "one folder, fill it by one command: each replaces what the one before has put there"
    )


def _missing(group: str, name: str, provider: str | None) -> Exception:
    if provider is not None:
        return missing(repr(name), provider)
    return UnknownPluginError(
        f"no installed distribution registers {name!r} in {group!r}{nearest(name, names(group))}"
    )


def nearest(name: str, known: list[str]) -> str:
    """Return a phrase with the names nearest to a misspelt one, empty if there is none."""
    close = difflib.get_close_matches(name, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
