"""What people pass for parameters: arrays, series and integers become floating-point tensors."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from ..arguments import NamesArguments, wrong_type
from ..errors import PPLError
from .empty import make_without_members
from .refusals import refuse_class, refuse_parameters

_PLAIN = (float, int, str, type(None), dict)  # and so is bool


class DistributionMeta(NamesArguments, ABCMeta):
    """Converts the parameters of a distribution before it is made.

    Arrays, numpy scalars, series and lists become tensors. Integers become floating-point numbers,
    of the type of the other tensors, where a parameter is a real number; counts stay as they are.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a distribution.

        Raises:
            SiteTypeError: If an argument is of the wrong kind, or there is none of its name.
            BroadcastError: If the shapes of parameters do not fit together.
        """
        try:
            new = DistributionMeta._make(cls, args, kwargs)
        except PPLError:
            raise
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            refuse_parameters(cls, {**dict(zip(_names(cls), args, strict=False)), **kwargs})
            raise
        if type(checks := vars(new).get("_validate_args", True)) is not bool:
            raise wrong_type(f"{cls.__name__}: validate_args", "True, False or None", checks)
        return new

    def _make(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for value in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(value, Tensor):
                if not (value.dtype.is_floating_point and value.numel()):
                    break
            elif not isinstance(value, _PLAIN) and (isinstance(value, type) or _is_array(value)):
                break
        else:
            return super().__call__(*args, **kwargs)
        names = _names(cls)
        given = [*zip(names, args, strict=False), *kwargs.items()]
        for name, value in given:
            refuse_class(f"{cls.__name__}: {name}", value)
        floats = [v for _, v in given if isinstance(v, Tensor) and v.is_floating_point()]
        dtype = floats[0].dtype if floats else torch.get_default_dtype()
        real = real_parameters(cls)
        args = tuple(
            _converted(value, name in real, dtype)
            for name, value in zip((*names, *[""] * len(args)), args, strict=False)
        )
        kwargs = {name: _converted(v, name in real, dtype) for name, v in kwargs.items()}
        make = partial(super().__call__, *args, **kwargs)
        is_empty = any(isinstance(v, Tensor) and not v.numel() for _, v in given)
        return make_without_members(make) if is_empty else make()


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple) or hasattr(value, "__array__")


def _converted(value: Any, real: bool, dtype: torch.dtype) -> Any:
    if isinstance(value, list | tuple):
        return of_list(value, dtype) if real else value
    if not isinstance(value, (Tensor, *_PLAIN)) and _is_array(value):
        array = value.__array__()
        value = torch.as_tensor(array) if real or array.ndim else array.item()
    if real and isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex()):
        return value.to(dtype)
    return value


def of_list(values: Any, dtype: torch.dtype) -> Any:
    """Return numbers and tensors in lists as one tensor, and what is none as it is."""
    if not isinstance(values, list | tuple):
        return values
    try:
        if any(isinstance(value, Tensor | list | tuple) for value in values):
            parts = [torch.as_tensor(of_list(value, dtype)) for value in values]
            floats = [v.dtype for v in values if isinstance(v, Tensor) and v.is_floating_point()]
            return torch.stack(
                [part.to((floats or [dtype])[0]) for part in parts]
            )  # with gradients
        return torch.as_tensor(values, dtype=dtype)
    except (RuntimeError, TypeError, ValueError):
        return values  # refuse_parameters names it


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(cls.__init__).parameters)[1:]


@cache
def real_parameters(cls: Any) -> frozenset[str]:
    """Return the names of parameters that are real numbers, or vectors or matrices of them."""
    said = getattr(cls, "real_parameters", None)  # where the constraints do not tell
    if said is not None:
        return frozenset(said)
    declared = getattr(cls, "arg_constraints", None)
    known = declared if isinstance(declared, dict) else {}  # some are computed from values
    return frozenset(name for name, constraint in known.items() if _is_real(constraint))


def _is_real(constraint: Any) -> bool:
    try:
        return not constraint.is_discrete
    except NotImplementedError:
        return False
