"""Constraints as plain data: a name and arguments, so that files need no pickled objects."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from torch.distributions import constraints

from ..errors import FileFormatError

# The vocabulary of a file. Only constraints found in these modules are written or read.
_MODULES = ("torch.distributions.constraints", "ppl.distributions.constraints")


def to_spec(name: str, constraint: constraints.Constraint) -> list[Any]:
    """Return ``[constraint name, argument, ...]``, nested for constraints of constraints.

    Args:
        name: The parameter, for the error.
        constraint: A constraint of torch or of ``ppl.distributions.constraints``.

    Example:
        >>> to_spec("p", constraints.interval(0, 2))
        ['interval', 0, 2]
    """
    for module in _modules():
        for spelled, known in vars(module).items():
            if known is constraint:
                return [spelled]
    for module in _modules():
        for spelled, known in vars(module).items():
            if known is type(constraint):
                return [spelled, *(_plain(name, argument) for argument in _arguments(constraint))]
    raise FileFormatError(
        f"parameter {name!r}: the constraint {constraint} is none of ppl.distributions.constraints and "
        "cannot be written to a file; use get_state() and save it yourself"
    )


def from_spec(name: str, spec: list[Any]) -> constraints.Constraint:
    """Return the constraint that :func:`to_spec` described."""
    spelled, *arguments = spec
    found = next((vars(m)[spelled] for m in _modules() if spelled in vars(m)), None)
    if isinstance(found, constraints.Constraint):
        return found
    if not (inspect.isclass(found) and issubclass(found, constraints.Constraint)):
        raise FileFormatError(
            f"parameter {name!r}: unknown constraint {spelled!r}; is ppl-distributions installed?"
        )
    return found(*(from_spec(name, a) if isinstance(a, list) else a for a in arguments))


def _modules() -> Iterator[ModuleType]:
    for path in _MODULES:
        try:
            yield importlib.import_module(path)
        except ModuleNotFoundError:  # ppl-distributions is not installed
            continue


def _arguments(constraint: constraints.Constraint) -> list[Any]:
    """The constructor arguments, which torch's constraints keep under their names."""
    parameters = list(inspect.signature(type(constraint).__init__).parameters)[1:]
    return [_kept(constraint, parameter) for parameter in parameters]


def _kept(constraint: Any, parameter: str) -> Any:
    return (
        getattr(constraint, parameter)
        if hasattr(constraint, parameter)
        else getattr(constraint, "_" + parameter)
    )


def _plain(name: str, argument: Any) -> Any:
    return to_spec(name, argument) if isinstance(argument, constraints.Constraint) else argument
