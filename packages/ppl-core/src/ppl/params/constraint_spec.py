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
_MODULES = ("ppl.distributions.constraints", "torch.distributions.constraints")


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
        made: constraints.Constraint = found(*(_argument(name, a) for a in arguments))
    except TypeError as error:
        raise FileFormatError(
            f"parameter {name!r}: {spelled!r} does not take {arguments!r}: {error}"
        ) from error
    return made


def canonical(name: str, constraint: constraints.Constraint) -> constraints.Constraint:
    """Return the public constraint that another object, a pickled copy say, is equal to.

    A constraint of the user's own is returned as it is.
    """
    try:
        return from_spec(name, to_spec(name, constraint))
    except FileFormatError:
        return constraint


def _argument(name: str, plain: Any) -> Any:
    """What :func:`_plain` made data of; a spec begins with a name, other lists do not."""
    if not isinstance(plain, list):
        return plain
    if plain and not isinstance(plain[0], str):
        return [_argument(name, member) for member in plain]
    return from_spec(name, plain)


def _public_name(sought: Any) -> str | None:
    vocabularies = _vocabularies()
    names = (n for public in vocabularies for n, known in public.items() if _same(known, sought))
    return next(names, None)


def _same(known: Any, sought: Any) -> bool:
    """Whether two constraints or classes are the same, or equal by their numbers."""
    if known is sought or isinstance(sought, type) or type(known) is not type(sought):
        return known is sought
    return not _holds_tensors(sought) and bool(vars(known) == vars(sought))


def _holds_tensors(constraint: constraints.Constraint) -> bool:
    return any(isinstance(kept, torch.Tensor) for kept in vars(constraint).values())


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
    """An argument as data: a number, a tensor, the spec of a constraint, or a list of these."""
    if isinstance(argument, constraints.Constraint):
        return to_spec(name, argument)
    if isinstance(argument, (list, tuple)):
        return [_plain(name, member) for member in argument]
    if isinstance(argument, (bool, int, float, torch.Tensor)):
        return argument
    raise FileFormatError(
        f"parameter {name!r}: a constraint with the argument {argument!r} cannot be written to a "
        "file; use get_state() and save it yourself"
    )
