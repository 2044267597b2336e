"""A whole step, loss, gradient and update, as one tensor program: state in, state out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.utils._pytree import tree_leaves

import ppl.poutine as poutine
from ppl.engine import CaptureError
from ppl.engine.call import Call, metadata
from ppl.engine.cpp_library import find_compiler
from ppl.engine.recorded_call import RecordedCall
from ppl.engine.replay import ReplayError
from ppl.engine.surroundings import modes
from ppl.errors import warn
from ppl.generators import own_generators
from ppl.infer.elbo import ELBO
from ppl.ops import jit
from ppl.optim.pure_update import Plan, PureUpdate, updated, why_not
from ppl.primitives import get_param_store
from ppl.randomness import get_rng_state, set_rng_state

from .leaves import leaves_of
from .native_steps import NativeSteps, Steps

if TYPE_CHECKING:
    from .svi import SVI

Mode = Literal["eager", "graph", "inductor"]
ENOUGH_TO_RECORD = 2000  # steps: from here on a recorded fit is faster
WORTH_COMPILING = 10**6  # operations, steps times those of one: from a cold start
MOST_MISSED = 5  # steps in a row that found other parameters in the store
MOST_SHAPES = 16  # of arguments; further ones are left to the handlers
NUM_CHECKS = 2  # calls that run the step itself, to be compared


def is_worth_compiling(program: GraphModule, num_steps: float) -> bool:
    """Return whether so many steps of a program do pay for the compiler: by the work, no clock."""
    work = num_steps * len(program.graph.nodes)
    return work >= WORTH_COMPILING and find_compiler() is not None


def for_fit(num_steps: int, svi: SVI) -> WholeStep | None:
    """Return how the steps of a fit are taken; None if it is too short for a recording to pay."""
    if svi._whole is not None or num_steps < ENOUGH_TO_RECORD:
        return svi._whole
    return WholeStep(svi, "inductor", warns=True, num_steps=num_steps)


def after(num_steps: int, whole: WholeStep | None, svi: SVI) -> WholeStep | None:
    """Return how steps are taken after so many: as many again are to be expected."""
    if whole is None and num_steps == ENOUGH_TO_RECORD:
        return WholeStep(svi, "graph", warns=False)
    if whole is not None and whole.is_outgrown(num_steps):
        return WholeStep(svi, "inductor", warns=False)
    return whole


class WholeStep:
    """The step of an :class:`SVI`, recorded, and compiled if that is wanted.

    It draws the random numbers of the step of handlers, in their order, and changes the parameters
    and the state of the optimizer where they are. A compiled step is replayed from C++, many at a
    time if they have the same arguments; one that cannot be is called from Python. Arguments of
    other shapes than the first have a recording of their own, which is not compiled.

    Args:
        svi: Whose step.
        mode: ``"graph"`` or ``"inductor"``.
        warns: Whether a warning says why a step cannot be recorded at all.
        num_steps: How many there will be; it is compiled if that pays.
    """

    def __init__(self, svi: SVI, mode: Mode, warns: bool, num_steps: float = math.inf) -> None:
        self._svi = svi
        self.why_not: str | None = None
        self._warns = warns
        self._give_up(_refusal(svi))
        self._mode, self._num_steps = mode, num_steps
        self._forget()

    def _forget(self) -> None:
        self._update: PureUpdate | None = None
        self._programs: tuple[Any, Any] | None = None  # for the first shapes, and for others
        self._shapes: Any = None
        self._num_missed = 0  # steps in a row
        self._warmed: set[Any] = set()
        self._native: _Native | None = None
        self._is_native = self._mode == "inductor"  # as far as it is known

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: it records anew."""
        kept = ("_svi", "why_not", "_warns", "_mode", "_num_steps")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def is_outgrown(self, num_steps: int) -> bool:
        """Return whether it is recorded only, and compiling it pays after so many steps."""
        if self._mode == "inductor" or self._programs is None or self.why_not is not None:
            return False
        programs = self._programs[0].compiled.values()
        return any(is_worth_compiling(p.forward, num_steps) for p in programs)

    def _pure(self) -> Callable[..., Any]:
        loss = getattr(self._svi.loss, "__self__", self._svi.loss)
        found = partial(_step, getattr(loss, "differentiable_loss", loss), self._svi.model)
        found = partial(found, self._svi.guide)
        found.__name__ = "SVI.step"  # type: ignore[attr-defined]
        return found

    def take(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        leaves: dict[str, Tensor],
        number: int = 1,
    ) -> Steps | None:
        """Take a step or more, and return the losses, and whether the last was taken.

        A step whose loss or gradient is not finite changes nothing but the generator, and is the
        only one of its call.

        Args:
            args: Arguments of model and guide.
            kwargs: The same by keyword.
            leaves: The parameters of the step before, by name.
            number: The most steps to take at these arguments.

        Returns:
            None, if it is to be taken through the handlers: the first one, which makes parameters
            and the state of the optimizer, and all of them where that is the only way.
        """
        if self.why_not is not None or not self._is_ready(leaves):
            return None
        assert self._update is not None
        plan, slots = self._update.plan(), self._update.slots()
        if slots is None:
            return None
        try:
            if self._native is not None and self._native.fits(plan, args, kwargs):
                return self._native.take(number, args, kwargs, slots)
        except ReplayError as error:
            self._give_up_replaying(error)
        try:
            return self._from_python(plan, slots, args, kwargs)
        except (CaptureError, _OtherParameters) as error:
            self._give_up(str(error))
            return None

    def _from_python(self, plan: Plan, slots: list[Tensor], args: Any, kwargs: Any) -> Steps | None:
        assert self._update is not None
        call = (plan, self._update.rates()[0], slots, args, kwargs)
        program = self._program(args, kwargs, call)
        if program is None:  # its own warning has said why
            return None
        if self._is_native and own_generators() is None and program is self._programs[0]:  # type: ignore[index]
            self._make_native(program, call)
        loss, is_finite, *new = program(*call)
        if is_finite:
            self._update.commit(new)
        return Steps([float(loss)], bool(is_finite))

    def _make_native(self, program: jit.CompiledFunction, call: tuple[Any, ...]) -> None:
        """Prepare to take the next steps natively."""
        found, update = program.settled(*call), self._update
        assert update is not None
        if found is None or found[0].program is None:
            return
        known, whole = found
        half: Any = found[0].program.forward
        if not isinstance(half, jit.Compiling):
            self._is_native = False  # it did not pay, or there was no compiler
        elif half.compiled is not None:
            inputs = known.inputs(whole, known.statements.leaves)
            try:
                steps = NativeSteps(half.compiled, inputs, update, call[2])
            except (ReplayError, OSError) as error:
                self._give_up_replaying(error)
            else:
                self._native = _Native(steps, known, call[0], _structure(*call[3:]))

    def _give_up_replaying(self, error: Exception) -> None:
        self._native, self._is_native = None, False
        if self._warns:
            warn(f"SVI calls its compiled step from Python, which is slower: {error}")

    def _is_ready(self, leaves: dict[str, Tensor]) -> bool:
        tensors = list(leaves.values())
        if not tensors or not self._are_current(leaves):
            return False
        if self._update is None or not self._update.fits(self._svi.optim, tensors):  # type: ignore[arg-type]
            self._native = None
            plan = self._update.plan() if self._update is not None else None
            self._update = PureUpdate(self._svi.optim, tensors, plan)  # type: ignore[arg-type]
            self._give_up(self._update.why_not or _hooked(leaves))
        return self.why_not is None

    def _are_current(self, leaves: dict[str, Tensor]) -> bool:
        """Return whether the store still has these leaves: it may have been cleared, or copied."""
        known = dict(get_param_store().named_parameters())
        if all(known.get(name) is leaf for name, leaf in leaves.items()):
            self._num_missed = 0
            return True
        self._num_missed += 1
        if self._num_missed == MOST_MISSED:
            self._give_up("its parameters are not in the store, or replaced all the time")
        return False

    def _give_up(self, why_not: str | None) -> None:
        self.why_not = why_not
        if why_not is not None and self._warns:
            warn(f"SVI trains without recording, which is slow: {why_not}")

    def _program(self, args: Any, kwargs: Any, call: tuple[Any, ...]) -> Any:
        """Return the program for such arguments, after the calls that it is compared at.

        These are made for nothing, so that a step is never taken by another program when a fit goes
        on than it was without a break. None is returned if there can be no program.
        """
        shapes = tuple(x.shape for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
        self._shapes = shapes if self._shapes is None else self._shapes
        if shapes not in self._warmed and len(self._warmed) == MOST_SHAPES:
            return None
        if self._programs is None:
            compiler = self._compiled if self._mode == "inductor" else None
            first = jit.CompiledFunction(self._pure(), not self._warns, compiler=compiler)
            self._programs = first, jit.trace(self._pure(), ignore_warnings=True)
        program = self._programs[shapes != self._shapes]
        if shapes not in self._warmed:
            self._warmed.add(shapes)
            state, before = get_rng_state(), len(program.compiled)
            for _ in range(NUM_CHECKS):
                program(*call)
                refusal = _other_generators(state)
                set_rng_state(state)
                if refusal is not None:
                    raise CaptureError(refusal)
            if len(program.compiled) == before:
                self.why_not = "it cannot be recorded"
                return None
        return program

    def _compiled(self, program: GraphModule) -> Any:
        is_worth = math.isinf(self._num_steps) or is_worth_compiling(program, self._num_steps)
        return jit.Compiling(program, {}) if is_worth else program


@dataclass(frozen=True)
class _Native:
    """Steps in C++, and what they assume."""

    steps: NativeSteps
    known: RecordedCall
    plan: Plan
    structure: Hashable

    def fits(self, plan: Plan, args: Any, kwargs: Any) -> bool:
        """Return whether a call would replay the same program."""
        return (
            plan is self.plan
            and _structure(args, kwargs) == self.structure
            and own_generators() is None
            and self.known.fits(self.known.statements.repeat())
        )

    def take(self, number: int, args: Any, kwargs: Any, slots: list[Tensor]) -> Steps:
        """Take steps; see :meth:`NativeSteps.take`."""
        tensors = list(args) if not kwargs and _are_tensors(args) else tree_leaves((args, kwargs))
        return self.steps.take(number, [x for x in tensors if isinstance(x, Tensor)], slots)


def _structure(args: Any, kwargs: Any) -> Hashable:
    """Return what a program assumes of arguments."""
    if not kwargs and _are_tensors(args):  # a shorter way
        return (*map(metadata, args), *modes())
    return Call.of(args, kwargs).structure


def _are_tensors(args: Any) -> bool:
    return all(isinstance(x, Tensor) for x in args)


def _hooked(leaves: dict[str, Tensor]) -> str | None:
    """Say which parameter has a hook, which no program would call."""
    for name, leaf in leaves.items():
        if leaf._backward_hooks or getattr(leaf, "_post_accumulate_grad_hooks", None):
            return f"parameter {name!r} has a hook for its gradient"
    return None


def _other_generators(before: dict[str, Any]) -> str | None:
    """Say which generator besides torch's was drawn from: a program would repeat that draw."""
    if before.get("random", random.getstate()) != random.getstate():
        return "it draws from Python's random; draw with torch"
    now: Any = np.random.get_state()
    known = before.get("numpy", now)
    if known[2] != now[2] or not np.array_equal(known[1], now[1]):
        return "it draws from numpy.random; draw with torch"
    return None


class _OtherParameters(Exception):
    """A step met other parameters than the one before."""


def _step(
    differentiable_loss: Callable[..., Tensor],
    model: Any,
    guide: Any,
    plan: Plan,
    rates: Tensor,
    slots: list[Tensor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[Tensor]:
    """Return the loss, whether it and the gradient are finite, and the parameters and slots after.

    Nothing is changed.
    """
    with poutine.trace(param_only=True) as seen, torch.enable_grad():
        loss = differentiable_loss(model, guide, *args, **kwargs)
        leaves = list(leaves_of(seen.trace).values())
        if len(leaves) != len(plan.options):
            raise _OtherParameters("its parameters are not the same at each step")
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        is_finite = loss.isfinite().all()
        for gradient in gradients:
            is_finite = is_finite & gradient.isfinite().all()
        return [loss.detach(), is_finite, *updated(plan, rates, slots, leaves, gradients)]


def _refusal(svi: SVI) -> str | None:
    """Say why there is no whole step; None if nothing is known yet that is against it."""
    loss = getattr(svi.loss, "__self__", svi.loss)
    if svi._processes is not None:
        return "its gradients are averaged over processes"
    if isinstance(loss, ELBO) and svi.loss_and_grads != loss.loss_and_grads:
        return "loss_and_grads is a function of your own"
    if not isinstance(loss, ELBO) and not svi._derives_gradients:
        return f"the gradient of {loss!r} is not that of one loss"
    return why_not(svi.optim)
