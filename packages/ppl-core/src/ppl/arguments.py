"""The arguments of statements and handlers: by their names, and of the right kind.

A call that Python refuses is answered with the nearest name; a value of the wrong kind is named
with the site, where it is passed and not where it first does not fit.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from .errors import SiteTypeError
from .plugins import nearest

TENSOR = "a tensor, a number, or a list or an array of numbers"
P = ParamSpec("P")
T = TypeVar("T")


def named(owner: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that explains calls with a wrong or a missing argument.

    Args:
        owner: What users call the function.

    Example:
        >>> @named("plate")
        ... def plate(name, size=None): ...
        >>> plate("data", sice=3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ppl.errors.SiteTypeError: plate 'data' takes no argument 'sice'; did you mean 'size'?...
    """

    def decorate(fn: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(fn)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return fn(*args, **kwargs)
            except TypeError:
                refuse_call(owner, inspect.signature(fn), args, kwargs)
                raise

        return call

    return decorate


def signature_of(cls: type) -> inspect.Signature:
    """Return the signature of the constructor of a class, whose metaclass may take anything."""
    init: Callable[..., None] = cls.__init__  # type: ignore[misc]  # that of this class
    constructor = inspect.signature(functools.partial(init, None))
    return constructor.replace(return_annotation=inspect.Signature.empty)


def refuse_call(
    owner: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise if arguments do not fit a signature.

    Raises:
        SiteTypeError: The message offers the nearest keyword, or says which argument is missing.
    """
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        taken = [name for name in signature.parameters if name != "self"]
        site = next((x for x in (*args[:2], kwargs.get("name")) if isinstance(x, str)), None)
        who = owner if site is None else f"{owner} {site!r}"
        refuse_keywords(who, kwargs, taken, site)
        raise SiteTypeError(f"{who}: {error}; it takes {', '.join(taken)}", site=site) from None


class ConstructorSignature:
    """What a metaclass has as ``__signature__``: the one of the constructor of each class."""

    def __get__(self, cls: type | None, metaclass: type) -> inspect.Signature | None:
        return None if cls is None else signature_of(cls)


class NamesArguments(type):
    """A class of classes whose constructor says which argument is unknown or missing."""

    __signature__: ConstructorSignature = ConstructorSignature()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return an instance.

        Raises:
            SiteTypeError: If arguments do not fit the constructor, see :func:`refuse_call`.
        """
        try:
            return super().__call__(*args, **kwargs)
        except TypeError:
            refuse_call(cls.__name__, signature_of(cls), args, kwargs)
            raise


def refuse_keywords(who: str, given: Any, taken: list[str], site: str | None = None) -> None:
    """Raise for the first keyword that nobody takes.

    Raises:
        SiteTypeError: The message offers the nearest.
    """
    for name in given:
        if name not in taken:
            hint = nearest(name, taken)
            raise SiteTypeError(
                f"{who} takes no argument {name!r}{hint}; it takes {', '.join(taken)}", site=site
            ) from None


def wrong_type(what: str, needed: str, got: Any, site: str | None = None) -> SiteTypeError:
    """Return the error about an argument of the wrong kind."""
    return SiteTypeError(f"{what}: expected {needed}, got {got!r}", site=site)


def check_name(statement: str, name: Any) -> None:
    """Refuse a name that is no string.

    Raises:
        SiteTypeError: If it is none.
    """
    if not isinstance(name, str):
        raise wrong_type(
            f"the first argument of {statement} is the site's name, which", "a string", name
        )


def integer(what: str, value: Any, site: str | None = None) -> int:
    """Return a whole number as an int; None, bools and floats are none.

    Raises:
        SiteTypeError: If it is none.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise wrong_type(what, "an integer", value, site)


def names(what: str, value: Any) -> Sequence[str] | None:
    """Return a collection of names as it is; a single string would be taken letter by letter.

    Raises:
        SiteTypeError: If it is no collection of strings.
    """
    if value is None:
        return None
    if isinstance(value, str):
        raise SiteTypeError(f"{what} takes a list of names, got {value!r}; write [{value!r}]")
    try:
        if all(isinstance(name, str) for name in value):
            return value  # type: ignore[no-any-return]
    except TypeError:
        pass
    raise wrong_type(what, "a list of names", value)


def function(what: str, value: Any) -> Any:
    """Return a function, or None, as it is.

    Raises:
        SiteTypeError: If it cannot be called.
    """
    return None if value is None else required_function(what, value)


def required_function(what: str, value: Any) -> Any:
    """Return a function as it is.

    Raises:
        SiteTypeError: If it cannot be called.
    """
    if callable(value):
        return value
    raise wrong_type(what, "a function", value)


def as_tensor(
    value: Any, what: str, site: str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return a number, a list or an array as a tensor, and a tensor as it is.

    Raises:
        SiteTypeError: If it is none of these.
    """
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong_type(what, TENSOR, value, site) from error
