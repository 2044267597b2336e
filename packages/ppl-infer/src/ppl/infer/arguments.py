"""Checks of the arguments that users pass to inference."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ppl.errors import SiteError
from ppl.plugins import nearest


def positive_int(name: str, value: Any, at_least: int = 1) -> int:
    """Return an integer that is at least 1, or another bound.

    Raises:
        SiteError: If the value is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = at_least - 1
    if number < at_least or isinstance(value, bool):
        raise SiteError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    return number


def known_options(*classes: type) -> list[str]:
    """Return the names of the arguments that any of the classes takes."""
    parameters = [p for cls in classes for p in inspect.signature(cls).parameters.values()]
    return sorted({p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD})


def nearest_site(name: str, known: Iterable[str]) -> str:
    """Return a phrase with the site nearest to a misspelt name, whatever the case of letters.

    Example:
        >>> nearest_site("MU", ["mu", "sigma"])
        "; did you mean 'mu'?"
    """
    names = list(known)
    same = [other for other in names if other.lower() == name.lower()]
    return f"; did you mean {same[0]!r}?" if same else nearest(name, names)


def sizes_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the sizes of plates may depend on: shapes and integers in the arguments."""
    return tuple(_size_of(leaf) for leaf in tree_leaves((args, dict(kwargs))))


def _size_of(leaf: Any) -> Any:
    if isinstance(leaf, (Tensor, torch.Size)) or hasattr(leaf, "shape"):
        return tuple(leaf.shape) if hasattr(leaf, "shape") else tuple(leaf)
    return leaf if isinstance(leaf, (int, str, type(None))) else type(leaf)
