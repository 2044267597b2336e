"""Options of an optimizer: one dictionary for all parameters, or a function of their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ppl.params.param_store import module_from_param_with_module_name, user_param_name

from .errors import OptimError

Options = Mapping[str, Any] | Callable[..., Mapping[str, Any]]

_MODULE_SEPARATOR = "$$$"


def check_options(options: object, argument: str) -> None:
    """Raise an OptimError unless ``options`` is a mapping or a function."""
    if not (isinstance(options, Mapping) or callable(options)):
        raise OptimError(
            f"{argument} must be a dict of options, or a function from a parameter name to one, "
            f"got {options!r}"
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
