"""Whether arguments, values and models are checked: one switch for ppl and torch alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from . import settings

_enabled: bool = __debug__  # in the process
_is_silent: ContextVar[bool] = ContextVar("ppl_silent", default=False)
_enabled_here: ContextVar[bool | None] = ContextVar("ppl_validation", default=None)  # in a block


def is_validation_enabled() -> bool:
    """Return whether models, arguments and values are checked."""
    here = _enabled_here.get()
    return _enabled if here is None else here


def enable_validation(is_validate: bool = True) -> None:
    """Switch the checks of ppl on or off, and those of torch's distributions with them.

    Checks cost time and depend on values, so inference switches them off while it records or
    compiles a model, after one checked run.

    Inside a :func:`validation_enabled` block the switch is that of the block, otherwise that of the
    process.

    Example:
        >>> enable_validation(True)
        >>> is_validation_enabled()
        True
    """
    global _enabled
    if _enabled_here.get() is not None:
        _enabled_here.set(bool(is_validate))
        return
    _enabled = bool(is_validate)
    _blocks.set_default_of_torch(_enabled)


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch the checks on or off for the duration of a ``with`` block, in this thread alone.

    Example:
        >>> with validation_enabled(False):
        ...     is_validation_enabled()
        False
    """
    before = _enabled_here.get()
    with _blocks:
        _enabled_here.set(bool(is_validate))
        try:
            yield
        finally:
            _enabled_here.set(before)


@contextmanager
def unchecked() -> Iterator[None]:
    """Switch all checks off for a ``with`` block, in this thread alone.

    Unlike :func:`validation_enabled` it also silences distributions that were told to check when
    they were made, before the block or in it: what is recorded cannot depend on values.
    """
    with validation_enabled(False), _blocks.silencing():
        token = _is_silent.set(True)
        try:
            yield
        finally:
            _is_silent.reset(token)


@contextmanager
def torch_flag_kept() -> Iterator[None]:
    """Give torch its flag back after a ``with`` block: its compiler switches the checks off."""
    flag = _flag_of_torch()
    try:
        yield
    finally:
        _set_flag_of_torch(flag)


class _FollowingFlag:
    """Stands in the place of torch's flag, a class attribute, while a block is open anywhere."""

    def __init__(self, default: bool) -> None:
        self.default = default  # outside of blocks

    def __get__(self, instance: object, owner: type | None = None) -> bool:
        here = _enabled_here.get()
        return self.default if here is None else here


class _SilencingFlag(_FollowingFlag):
    """Also stands before the flags of the instances, while anybody wants them silent."""

    def __get__(self, instance: object, owner: type | None = None) -> bool:
        if _is_silent.get():
            return False
        own: bool | None = None if instance is None else vars(instance).get("_validate_args")
        return super().__get__(instance, owner) if own is None else own

    def __set__(self, instance: object, value: bool) -> None:
        vars(instance)["_validate_args"] = value


class _Blocks:
    """Counts the open blocks of all threads: the last one to close gives torch its flag back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_open = self._num_silencing = 0

    def __enter__(self) -> None:
        with self._lock:
            self._num_open += 1
            flag = _flag_of_torch()
            if not isinstance(flag, _FollowingFlag):
                _set_flag_of_torch(_FollowingFlag(flag))

    @contextmanager
    def silencing(self) -> Iterator[None]:
        """Let instances ask the class; to be used inside of an open block."""
        with self._lock:
            self._num_silencing += 1
            _set_flag_of_torch(_SilencingFlag(self._default()))
        try:
            yield
        finally:
            with self._lock:
                self._num_silencing -= 1
                if self._num_silencing == 0:
                    _set_flag_of_torch(_FollowingFlag(self._default()))

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._num_open -= 1
            flag = _flag_of_torch()
            if self._num_open == 0 and isinstance(flag, _FollowingFlag):
                _set_flag_of_torch(flag.default)

    def set_default_of_torch(self, is_validate: bool) -> None:
        with self._lock:
            kind = _SilencingFlag if self._num_silencing else _FollowingFlag
            _set_flag_of_torch(kind(is_validate) if self._num_open else is_validate)

    def _default(self) -> bool:
        flag = _flag_of_torch()
        return flag.default if isinstance(flag, _FollowingFlag) else bool(flag)


def _flag_of_torch() -> Any:
    return vars(torch.distributions.Distribution)["_validate_args"]


def _set_flag_of_torch(flag: Any) -> None:
    torch.distributions.Distribution._validate_args = flag


_blocks = _Blocks()


class _Switches:
    """The switch of programs and that of distributions; in a block both are that of the block."""

    @property
    def programs(self) -> bool:
        return is_validation_enabled()

    @programs.setter
    def programs(self, is_validate: bool) -> None:
        global _enabled
        if not self._is_of_block(is_validate):
            _enabled = bool(is_validate)

    @property
    def distributions(self) -> bool:
        return bool(torch.distributions.Distribution._validate_args)

    @distributions.setter
    def distributions(self, is_validate: bool) -> None:
        if not self._is_of_block(is_validate):
            _blocks.set_default_of_torch(bool(is_validate))

    def _is_of_block(self, is_validate: bool) -> bool:
        is_in_block = _enabled_here.get() is not None
        if is_in_block:
            _enabled_here.set(bool(is_validate))
        return is_in_block


_switches = _Switches()

# under the names of Pyro's settings
for _name in ("validate_infer", "validate_poutine"):
    settings.register(_name, __name__, "_switches.programs")
for _name in ("validate_distributions_pyro", "validate_distributions_torch"):
    settings.register(_name, __name__, "_switches.distributions")
