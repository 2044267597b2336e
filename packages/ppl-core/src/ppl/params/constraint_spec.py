"""Constraints as plain data: a name and arguments, so that files need no pickled objects."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch
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
    if spelled := _public_name(constraint):
        return [spelled]
    if spelled := _public_name(type(constraint)):
        return [spelled, *(_plain(name, argument) for argument in _arguments(constraint))]
    raise FileFormatError(
        f"parameter {name!r}: the constraint {constraint} is none of ppl.distributions.constraints "
        "and cannot be written to a file; use get_state() and save it yourself"
    )


def from_spec(name: str, spec: list[Any]) -> constraints.Constraint:
    """Return the constraint that :func:`to_spec` described.

    Raises:
        FileFormatError: If there is no such constraint, or it does not take these arguments.
    """
    if not (isinstance(spec, list) and spec and isinstance(spec[0], str)):
        raise FileFormatError(f"parameter {name!r}: {spec!r} does not describe a constraint")
    spelled, *arguments = spec
    found = next((public[spelled] for public in _vocabularies() if spelled in public), None)
    if found is None:
        raise FileFormatError(
            f"parameter {name!r}: unknown constraint {spelled!r}; is ppl-distributions installed?"
        )
    if isinstance(found, constraints.Constraint):
        return found
    try:
        made: constraints.Constraint = found(
            *(from_spec(name, a) if isinstance(a, list) else a for a in arguments)
        )
    except TypeError as error:
        raise FileFormatError(
            f"parameter {name!r}: {spelled!r} does not take {arguments!r}: {error}"
        ) from error
    return made


def _public_name(known: Any) -> str | None:
    names = (name for public in _vocabularies() for name in public if public[name] is known)
    return next(names, None)


def _vocabularies() -> Iterator[dict[str, Any]]:
    """Constraints, and classes of them, by public name."""
    for path in _MODULES:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:  # ppl-distributions is not installed
            continue
        yield {name: known for name, known in vars(module).items() if _is_public(name, known)}


def _is_public(name: str, known: Any) -> bool:
    is_class = inspect.isclass(known) and issubclass(known, constraints.Constraint)
    return not name.startswith("_") and (is_class or isinstance(known, constraints.Constraint))


def _arguments(constraint: constraints.Constraint) -> list[Any]:
    """The constructor arguments, which torch's constraints keep under their names."""
    parameters = list(inspect.signature(type(constraint)).parameters)
    return [_kept(constraint, parameter) for parameter in parameters]


def _kept(constraint: Any, parameter: str) -> Any:
    public = getattr(constraint, parameter, None)
    return getattr(constraint, "_" + parameter) if public is None else public


def _plain(name: str, argument: Any) -> Any:
    """An argument as data: a number, a tensor, or the spec of a constraint."""
    if isinstance(argument, constraints.Constraint):
        return to_spec(name, argument)
    if isinstance(argument, (bool, int, float, torch.Tensor)):
        return argument
    raise FileFormatError(
        f"parameter {name!r}: a constraint with the argument {argument!r} cannot be written to a "
        "file; use get_state() and save it yourself"
    )
