"""A whole step, loss, gradient and update, as one tensor program: state in, state out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import ppl.poutine as poutine
from ppl.engine import CaptureError
from ppl.engine.cpp_library import find_compiler
from ppl.errors import warn
from ppl.infer.elbo import ELBO
from ppl.ops import jit
from ppl.optim.pure_update import Plan, PureUpdate, updated, why_not
from ppl.primitives import get_param_store
from ppl.randomness import get_rng_state, set_rng_state

from .leaves import leaves_of

if TYPE_CHECKING:
    from .svi import SVI

Mode = Literal["eager", "graph", "inductor"]
ENOUGH_TO_RECORD = 2000  # steps: from here on a recorded fit is faster
ENOUGH_TO_COMPILE = 10_000  # the same of a compiled one, from a cold start
MOST_MISSED = 5  # steps in a row that found other parameters in the store
NUM_CHECKS = 2  # calls that run the step itself, to be compared


def mode_for(num_steps: int) -> Mode:
    """Return how a fit of so many steps is executed: by the work, and by no clock."""
    if num_steps < ENOUGH_TO_RECORD:
        return "eager"
    is_long = num_steps >= ENOUGH_TO_COMPILE and find_compiler() is not None
    return "inductor" if is_long else "graph"


class WholeStep:
    """The step of an :class:`SVI`, recorded, and compiled if that is wanted.

    It draws the random numbers of the step of handlers, in their order, and changes the parameters
    and the state of the optimizer where they are. Arguments of other shapes than the first have a
    recording of their own, which is not compiled.

    Args:
        svi: Whose step.
        mode: ``"graph"`` or ``"inductor"``.
        warns: Whether a warning says why a step cannot be recorded at all.
    """

    def __init__(self, svi: SVI, mode: Mode, warns: bool) -> None:
        self._svi = svi
        self.why_not: str | None = None
        self._warns = warns
        self._give_up(_refusal(svi))
        self._mode: Mode = mode
        self._forget()

    def _forget(self) -> None:
        self._update: PureUpdate | None = None
        self._programs: tuple[Any, Any] | None = None  # for the first shapes, and for others
        self._shapes: Any = None
        self._num_missed = 0  # steps in a row
        self._warmed: set[Any] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: it records anew."""
        return {name: getattr(self, name) for name in ("_svi", "why_not", "_warns", "_mode")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

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
        skips: bool = False,
    ) -> tuple[float, bool] | None:
        """Take a step, and return its loss, and whether it was taken.

        Args:
            args: Arguments of model and guide.
            kwargs: The same by keyword.
            leaves: The parameters of the step before, by name.
            skips: Whether nothing is changed where loss or gradient is not finite.

        Returns:
            None, if it is to be taken through the handlers: the first one, which makes parameters
            and the state of the optimizer, and all of them where that is the only way.
        """
        if self.why_not is not None or not self._is_ready(leaves):
            return None
        assert self._update is not None
        rates, slots = self._update.tensors()
        call = (self._update.plan(), rates, slots, args, kwargs)
        try:
            program = self._program(args, kwargs, call)
            if program is None:  # its own warning has said why
                return None
            loss, is_finite, *new = program(*call)
        except (CaptureError, _OtherParameters) as error:
            self._give_up(str(error))
            return None
        is_taken = not skips or bool(is_finite)
        if is_taken:
            self._update.commit(new)
        return float(loss), is_taken

    def _is_ready(self, leaves: dict[str, Tensor]) -> bool:
        tensors = list(leaves.values())
        if not tensors or not self._are_current(leaves):
            return False
        if self._update is None or not self._update.fits(self._svi.optim, tensors):  # type: ignore[arg-type]
            self._update = PureUpdate(self._svi.optim, tensors)  # type: ignore[arg-type]
            self._give_up(self._update.why_not)
        return self.why_not is None and self._update.has_started

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
        if self._programs is None:
            make = jit.compile if self._mode == "inductor" else jit.trace
            self._programs = make(self._pure()), jit.trace(self._pure(), ignore_warnings=True)
        program = self._programs[shapes != self._shapes]
        if shapes not in self._warmed:
            self._warmed.add(shapes)
            state, before = get_rng_state(), len(program.compiled)
            for _ in range(NUM_CHECKS):
                program(*call)
                set_rng_state(state)
            if len(program.compiled) == before:
                self.why_not = "it cannot be recorded"
                return None
        return program


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
    if isinstance(loss, ELBO) and svi.loss_and_grads != loss.loss_and_grads:
        return "loss_and_grads is a function of your own"
    if not isinstance(loss, ELBO) and not svi._derives_gradients:
        return f"the gradient of {loss!r} is not that of one loss"
    return why_not(svi.optim)
