"""One line for each member: its parameters and its oracle, one file for each group of families."""

from __future__ import annotations

import importlib
import pkgutil

from ppl.distributions.testing import Case


def collect() -> list[Case]:
    """Return the ``CASES`` of every file of this folder."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "values"]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [case for module in modules for case in module.CASES]


CASES = collect()
