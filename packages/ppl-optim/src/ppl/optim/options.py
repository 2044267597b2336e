"""Options of an optimizer: one dictionary for all parameters, or a function of their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ppl.params.param_store import module_from_param_with_module_name, user_param_name
from ppl.plugins import nearest

from .errors import OptimError, UnknownOptionError

Options = Mapping[str, Any] | Callable[..., Mapping[str, Any]]

_MODULE_SEPARATOR = "$$$"


def check_options(options: object, argument: str) -> None:
    """Raise an OptimError unless ``options`` is a mapping or a function."""
    if not (isinstance(options, Mapping) or callable(options)):
        raise OptimError(
            f"{argument} must be a dict of options, or a function from a parameter name to one, "
            f"got {options!r}"
        )


def merge(optim_args: Options | None, keywords: Mapping[str, Any]) -> Options:
    """Return options that were given as a dict, as keywords, or as both.

    Raises:
        OptimError: If there are keywords beside a function.
    """
    if not keywords or optim_args is None:
        return keywords if optim_args is None else optim_args
    if isinstance(optim_args, Mapping):
        return {**optim_args, **keywords}
    raise OptimError(
        f"keywords go with a dict of options alone, got {sorted(keywords)} beside {optim_args!r}"
    )


def check_names(constructor: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a torch optimizer or scheduler does not take.

    Raises:
        UnknownOptionError: For the first of them; the message offers the nearest.
    """
    try:
        parameters = inspect.signature(constructor).parameters
    except (TypeError, ValueError):  # not known
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name not in ("params", "optimizer")]
    for name in options:
        if name not in known:
            raise UnknownOptionError(
                f"{getattr(constructor, '__name__', constructor)} has no option {name!r}"
                f"{nearest(name, known)}; it has {known}"
            )


def options_for(options: Options, name: str | None, argument: str) -> dict[str, Any]:
    """Return the options of one parameter.

    Args:
        options: A mapping; or a function of the parameter's name, ``"net.weight"`` for a parameter
            of a module; or a function of two arguments, module name and parameter name, which are
            equal for a parameter without a module.
        name: The parameter's name in the store, None if the store does not hold it.
        argument: What the options are called in an error.

    Raises:
        OptimError: If a function is given and the parameter has no name, or it returns no mapping.
    """
    if isinstance(options, Mapping):
        return dict(options)
    if name is None:
        raise OptimError(
            f"{argument} is a function of the parameter's name, but a parameter is not in the "
            "parameter store and has none; register it with ppl.param or ppl.module, or pass a dict"
        )
    if _takes_one_argument(options):
        result = options(name.replace(_MODULE_SEPARATOR, "."))
    else:
        result = options(module_from_param_with_module_name(name), user_param_name(name))
    if not isinstance(result, Mapping):
        raise OptimError(f"{argument} returned {result!r} for parameter {name!r}, not a dict")
    return dict(result)


def _takes_one_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind("name")
    except TypeError:
        return False
    return True
