"""Why a distribution cannot be made: the parameter that is of another kind or shape."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from ppl.arguments import TENSOR, signature_of, wrong_type
from ppl.errors import BroadcastError, ShapeError, SiteTypeError
from ppl.lines import is_library

from .util import broadcast_shape


def refuse_parameters(cls: Any, given: Mapping[str, Any]) -> None:
    """Raise for parameters that ``cls`` could not be made of, if they are why it could not.

    Raises:
        SiteTypeError: If one is a class, or no number where one is needed.
        ShapeError: If one has too few dimensions.
        BroadcastError: If their shapes do not broadcast.
    """
    from .arguments import of_list, real_parameters  # which call this

    parameters = signature_of(cls).parameters
    declared = cls.arg_constraints if isinstance(cls.arg_constraints, dict) else {}
    real: dict[str, Any] = {}
    for name, value in given.items():
        if name not in declared.keys() | real_parameters(cls):
            continue
        if name in real_parameters(cls):
            value = real[name] = of_list(value, torch.get_default_dtype())
        is_absent = value is None and getattr(parameters.get(name), "default", None) is None
        if not (is_absent or isinstance(value, Tensor | Number)):
            raise wrong_type(f"{cls.__name__}: {name}", TENSOR, value)
    if is_library({"__name__": cls.__module__}):  # others may mean what does not broadcast
        _refuse_shapes(cls, {name: value for name, value in real.items() if value is not None})


def refuse_class(what: str, value: Any) -> None:
    """Refuse a class of distributions where a distribution is needed.

    Raises:
        SiteTypeError: If it is one.
    """
    if inspect.isclass(value) and issubclass(value, torch.distributions.Distribution):
        raise SiteTypeError(
            f"{what}: {value.__name__} is the class; write {value.__name__}(...) with its "
            "parameters"
        )


def _refuse_shapes(cls: Any, real: Mapping[str, Any]) -> None:
    batch_shapes = {}
    for name, value in real.items():
        shape, event_dim = tuple(getattr(value, "shape", ())), _event_dim(cls, name)
        if len(shape) < event_dim:
            raise ShapeError(
                f"{cls.__name__}: {name} needs {_NEEDS.get(event_dim, 'more dimensions')}, got "
                f"{value!r} of shape {shape}"
            )
        batch_shapes[name] = shape[: len(shape) - event_dim]
    try:
        broadcast_shape(*batch_shapes.values())
    except ShapeError as error:
        shapes = (f"{name} of shape {tuple(getattr(v, 'shape', ()))}" for name, v in real.items())
        raise BroadcastError(
            f"{cls.__name__}: the parameters cannot be broadcast together: {', '.join(shapes)}"
        ) from error


_NEEDS = {1: "at least one dimension, that of a vector", 2: "at least two dimensions, of a matrix"}


def _event_dim(cls: Any, name: str) -> int:
    try:
        return int(cls.arg_constraints[name].event_dim)
    except (KeyError, NotImplementedError, TypeError):
        return 0
