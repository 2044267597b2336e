"""Generators of random numbers for one thread alone, so that threads can draw side by side.

torch has one default generator for each device, and all threads draw from it. Inside a block of
:class:`OwnGenerators` each operation that draws is handed a generator of the block instead,
whatever calls it: a distribution, a layer with dropout, the initialization of a network, a
compiled program. A generator makes the numbers that the default one makes from the same seed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Generator
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
    _pop_mode,
    _push_mode,
)

Self = TypeVar("Self", bound="OwnGenerators")

_lending = threading.Lock()


class OwnGenerators(TorchDispatchMode):
    """Redirects the draws of this thread to generators of its own, one for each device.

    An operation that takes no generator (the fused dropout of CUDA) borrows the default one, which
    must not be drawn from at that moment by a thread without generators of its own. Recording a
    program draws its example values from the default generators.

    Args:
        rng_seed: The seed of every generator.

    Example:
        >>> _ = torch.manual_seed(3); expected = torch.randn(2)
        >>> with OwnGenerators(3):
        ...     bool((torch.randn(2) == expected).all())
        True
    """

    supports_higher_order_operators = True

    def __init__(self, rng_seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seed(rng_seed)

    def seed(self, rng_seed: int) -> None:
        """Start all generators anew."""
        self._seed = rng_seed
        self._generators: dict[torch.device, Generator] = {}

    def get_state(self) -> dict[str, Any]:
        """Return a state from which the draws can be repeated."""
        states = {device: generator.get_state() for device, generator in self._generators.items()}
        return {"own": (self._seed, states)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`get_state` returned."""
        rng_seed, states = state["own"]
        self.seed(rng_seed)
        for device, known in states.items():
            self._generator(device).set_state(known)

    # torch's own keep flags of the process, which threads would leave in disorder
    def __enter__(self: Self) -> Self:
        _push_mode(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _pop_mode()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let torch compile programs inside the block; what they draw is redirected as well."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would import the compiler, to tell it what it never asks

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _draws(func) or _is_settled(args, kwargs):
            return func(*args, **kwargs)
        device = _device(args, kwargs)
        if device.type == "meta":  # there are no values to draw
            return func(*args, **kwargs)
        generator = self._generator(device)
        overload = _with_generator(func)
        if overload is None:
            with _lent_to_torch(generator):
                return func(*args, **kwargs)
        return overload(*args, **{**kwargs, "generator": generator})

    def _generator(self, device: torch.device) -> Generator:
        if device not in self._generators:
            self._generators[device] = Generator(device).manual_seed(self._seed)
        return self._generators[device]


def own_generators() -> OwnGenerators | None:
    """Return the generators that this thread draws from, None if it has none of its own."""
    modes = reversed(_get_current_dispatch_mode_stack())
    return next((mode for mode in modes if isinstance(mode, OwnGenerators)), None)


@cache
def _draws(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())


def _is_settled(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the caller chose a generator, or the draw is recorded for a program."""
    chosen = any(isinstance(argument, Generator) for argument in (*args, *kwargs.values()))
    return chosen or get_proxy_mode() is not None


def _device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    """Where an operation draws: where it is told to, or else where its tensors are."""
    if kwargs.get("device") is not None:
        device = torch.device(kwargs["device"])
    else:
        tensors = (a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor))
        device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


@cache
def _with_generator(func: Any) -> Any:
    """Return the overload of an operation that takes a generator, None if there is none."""
    overloads = [func, *(getattr(func.overloadpacket, o) for o in func.overloadpacket.overloads())]
    return next((o for o in overloads if _takes_generator(o) and _inputs(o) == _inputs(func)), None)


def _takes_generator(overload: Any) -> bool:
    return any(argument.name == "generator" for argument in overload._schema.arguments)


def _inputs(overload: Any) -> list[tuple[str, str]]:
    arguments = overload._schema.arguments
    return [(a.name, str(a.type)) for a in arguments if a.name != "generator"]


@contextmanager
def _lent_to_torch(generator: Generator) -> Iterator[None]:
    """Make the default generator continue one of ours, for one operation."""
    if generator.device.type == "cuda":
        default = torch.cuda.default_generators[generator.device.index]
    else:
        default = torch.default_generator
    with _lending:
        found = default.get_state()
        default.set_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(default.get_state())
            default.set_state(found)
