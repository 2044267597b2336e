"""Run a program once and replay what it did to tensors, with or without a compiler."""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

import ppl.poutine as poutine
from ppl.engine.call import Call
from ppl.engine.differentiable import DifferentiableProgram, Flat
from ppl.engine.inductor import CompiledProgram, compile_program
from ppl.engine.layouts import laid_out
from ppl.engine.parameters import GivenParams, Leaf, ParamStatements
from ppl.engine.recorded_call import RecordedCall
from ppl.engine.recording import is_recording
from ppl.engine.refusals import CaptureError
from ppl.engine.surroundings import Surroundings
from ppl.errors import warn
from ppl.util import get_rng_state, set_rng_state

Compiler = Callable[[GraphModule], Flat]
MAX_RECORDINGS = 20  # of calls that look the same


def trace(
    fn: Callable[..., Any] | None = None,
    ignore_warnings: bool = False,
    jit_options: dict[str, Any] | None = None,
) -> Any:
    """Return a version of ``fn`` that records once what it does to tensors, and then replays it.

    The replay reads the parameters of the store, draws at random anew, and has gradients for its
    arguments, for parameters and for those of modules; higher derivatives run ``fn`` again, and are
    refused where it draws. ``fn`` may use any primitive. Handlers around a call see its parameters,
    and nothing else.

    The first two calls of each structure (shapes, dtypes and devices of tensors, values of other
    arguments, modes of torch and of modules) run ``fn`` itself and compare. Where something else
    that it reads was replaced, such as a parameter or a global number, it is recorded anew. Where
    it cannot be recorded, or the replay differs, it goes on as plain Python, and a warning says
    which line is to blame.

    Args:
        fn: A function of tensors, in any nesting, and of hashable options; None to get a decorator.
        ignore_warnings: Whether not to warn about what cannot be recorded.
        jit_options: Options of the compiler; here there is none.

    Example:
        >>> from ppl.primitives import clear_param_store, param
        >>> clear_param_store()
        >>> loss = trace(lambda x: (param("w", torch.tensor(2.0)) * x).sum())
        >>> [loss(torch.ones(3)).item() for _ in range(3)], len(loss.compiled)
        ([6.0, 6.0, 6.0], 1)
    """
    if fn is None:
        return functools.partial(trace, ignore_warnings=ignore_warnings, jit_options=jit_options)
    return CompiledFunction(fn, ignore_warnings, jit_options)


def compile(
    fn: Callable[..., Any] | None = None,
    ignore_warnings: bool = False,
    jit_options: dict[str, Any] | None = None,
) -> Any:
    """Return a version of ``fn`` that compiles what :func:`trace` would replay.

    Without a working compiler it replays, and says so.  Draws are those of the function itself.

    Args:
        fn: A function as for :func:`trace`; None to get a decorator.
        ignore_warnings: Whether not to warn about what cannot be recorded or compiled.
        jit_options: Options of inductor, see ``torch._inductor.list_options()``.
    """
    if fn is None:
        return functools.partial(compile, ignore_warnings=ignore_warnings, jit_options=jit_options)
    compiler = functools.partial(Compiling, options=jit_options or {})
    return CompiledFunction(fn, ignore_warnings, jit_options, compiler=compiler)


class Compiling:
    """A recorded program that is compiled when it is first called.

    Args:
        program: The program.
        options: Of inductor.
    """

    def __init__(self, program: GraphModule, options: dict[str, Any]) -> None:
        self.program = program
        self.options = options
        self._strides: list[tuple[int, ...]] = []
        self._compiled: CompiledProgram | None = None

    @property
    def compiled(self) -> CompiledProgram | None:
        """What the compiler made of it; None before the first call."""
        return self._compiled

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Return the results at inputs of the first ones' shapes, which may lie otherwise."""
        if self._compiled is None:
            inputs = tuple(x.resolve_conj().resolve_neg() for x in inputs)
            self._strides = [x.stride() for x in inputs]
            self._compiled = compile_program(self.program, inputs, self.options)
        return self._compiled(*map(_lay_out, inputs, self._strides))


def _lay_out(tensor: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Return a tensor with these strides, the same one if it has them and says what it holds."""
    tensor = tensor.resolve_conj().resolve_neg()
    return tensor if tensor.stride() == strides else laid_out(tensor, strides)


class CompiledFunction:
    """A function that is recorded when it is called with arguments of a new structure.

    Args:
        fn: The function; see :func:`trace`.
        ignore_warnings: Whether not to warn about what cannot be recorded or compiled.
        jit_options: Options of the compiler, kept for those who ask.
        compiler: What to make of the two halves of a recording; default: they are replayed as
            they are.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        ignore_warnings: bool = False,
        jit_options: dict[str, Any] | None = None,
        *,
        compiler: Compiler | None = None,
    ) -> None:
        functools.update_wrapper(self, fn)
        self._name = getattr(fn, "__name__", type(fn).__name__)
        self.fn = fn
        self.ignore_warnings = ignore_warnings
        self.jit_options = jit_options
        self.compiler = compiler
        self._has_warned = False
        self._forget()

    def _forget(self) -> None:
        self._known: dict[Hashable, RecordedCall] = {}
        self._num_recordings: Counter[Hashable] = Counter()
        self._lock = threading.RLock()  # of everything that records
        self._surroundings = Surroundings(self.fn)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: it records anew."""
        own = ("_known", "_num_recordings", "_lock", "_surroundings")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __reduce_ex__(self, protocol: Any) -> Any:
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        for name in getattr(self, "__qualname__", "").split("."):
            found = getattr(found, name, None)
        if found is self:  # it decorates a function, whose name now is its own
            return self.__qualname__
        return super().__reduce_ex__(protocol)

    @property
    def compiled(self) -> dict[Hashable, DifferentiableProgram]:
        """The recorded programs, by the structure of the arguments."""
        return {key: p.program for key, p in self._known.items() if p.program is not None}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return ``fn(*args, **kwargs)``, or its replay."""
        if is_recording() or _is_transformed():
            return self.fn(*args, **kwargs)  # a part of something that a replay does not know of
        call = Call.of(args, kwargs)
        known = self._known.get(self._key(call))
        if known is None or not known.is_settled:
            with self._lock:
                return self._settle(call)
        return self._follow(known, call)

    def settled(self, *args: Any, **kwargs: Any) -> tuple[RecordedCall, Call] | None:
        """Return what such a call replays, and the call; None where it would run ``fn`` as well."""
        call = Call.of(args, kwargs)
        known = self._known.get(self._key(call))
        return None if known is None or not known.is_settled else (known, call)

    def _settle(self, call: Call) -> Any:
        """Make the first call or the second one, unless another thread has just done so."""
        known = self._known.get(self._key(call))
        if known is None:
            return self._first(call, {})
        return self._follow(known, call)

    def _key(self, call: Call) -> Hashable:
        return call.structure, self._surroundings.modes

    def _follow(self, known: RecordedCall, call: Call) -> Any:
        if known.program is None:
            return self._run(call, {})[0]
        leaves = known.statements.repeat()
        if not known.fits(leaves):
            with self._lock:
                return self._first(call, leaves)
        if known.is_settled:
            return known.replay(call, leaves)
        return self._second(known, call, leaves)

    def _run(self, call: Call, leaves: dict[str, Leaf]) -> tuple[Any, ParamStatements]:
        """Run the function itself, with leaves that were read already."""
        statements = ParamStatements()
        with poutine.block(expose_types=["param"]), GivenParams(leaves), statements:
            return self.fn(*call.args, **call.kwargs), statements

    def _first(self, call: Call, leaves: dict[str, Leaf]) -> Any:
        """Run the function, record it, and see whether the replay is the same."""
        state, versions = get_rng_state(), call.versions()
        with self._surroundings.noticing_modules():
            result, statements = self._run(call, leaves)
        self._surroundings.look()
        known = RecordedCall(self.fn, self._surroundings, statements, call, result)
        key = self._key(call)
        self._num_recordings[key] += 1
        with self._unless_it_fails(known), _drawing_again(state):
            if call.versions() != versions:
                raise CaptureError("it changes an argument in place")
            if self._num_recordings[key] > MAX_RECORDINGS:
                raise CaptureError("what it reads besides its arguments is replaced all the time")
            known.record(call, result)
            set_rng_state(state)
            known.check(call, statements.leaves, result)
        if known.program is not None and self.compiler is not None:
            with _drawing_again(state):
                self._compile(known, call, result)
        known.look_around()
        self._known[key] = known
        return result

    def _second(self, known: RecordedCall, call: Call, leaves: dict[str, Leaf]) -> Any:
        """Run the function at other values and see whether the replay still is the same."""
        state = get_rng_state()
        result, _ = self._run(call, leaves)
        with self._unless_it_fails(known), _drawing_again(state):
            known.check(call, leaves, result)
        known.look_around()
        known.is_settled = True
        return result

    @contextmanager
    def _unless_it_fails(self, known: RecordedCall) -> Iterator[None]:
        """Give a recording up when it turns out that the function cannot be recorded."""
        try:
            yield
        except CaptureError as error:
            known.program, known.is_settled = None, True
            self._warn(f"{self._name} runs without recording, which is slow: {error}")

    def _compile(self, known: RecordedCall, call: Call, result: Any) -> None:
        """Compile the program of a recording, unless there is no compiler or it gets it wrong."""
        assert known.program is not None and self.compiler is not None
        recorded = known.program
        known.program = recorded.map(self.compiler)
        try:
            known.check(call, known.statements.leaves, result)
        except Exception as error:  # compilers fail in every way
            known.program = recorded
            self._warn(f"{self._name} is replayed without compiling: {error}")

    def _warn(self, message: str) -> None:
        if not (self.ignore_warnings or self._has_warned):
            self._has_warned = True
            warn(message)


def _is_transformed() -> bool:
    """Whether torch watches or transforms what is called: by vmap, forward derivatives, modes."""
    in_functorch = torch._C._functorch.maybe_current_level() is not None
    is_dual = torch.autograd.forward_ad._current_level >= 0
    return in_functorch or is_dual or torch._C._len_torch_dispatch_stack() > 0


@contextmanager
def _drawing_again(state: dict[str, Any]) -> Iterator[None]:
    """Rewind the generators for a ``with`` block, and leave them as they were found."""
    found = get_rng_state()
    set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(found)
