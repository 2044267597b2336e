"""The update of an optimizer as a pure function of tensors, to be recorded with a whole step.

It has the rules of the torch optimizers that are used most. Their state stays where it is: it goes
in as tensors and comes back as tensors, so that pure and usual updates may follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

import torch
from torch import Tensor

from . import functional
from .clipped_adam import ClippedAdam
from .optim import PyroOptim

Options = dict[str, Any]
Slots = list[Tensor]  # of one parameter: the number of updates before, then the moments
Rule = Callable[[Options, Tensor, Slots], tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True)
class Known:
    """A torch optimizer whose rule is known.

    Attributes:
        rule: From options, a gradient and slots to the direction of descent and the new moments.
        moments: What they are called in its state.
        fixed: The options that must have these values.
        read: The options that the rule reads.
    """

    rule: Rule
    moments: tuple[str, ...]
    fixed: Mapping[str, Any]
    read: tuple[str, ...]


def _adam(options: Options, gradient: Tensor, slots: Slots) -> tuple[Tensor, list[Tensor]]:
    b1, b2 = options["betas"]
    rule = functional.Adam(1.0, b1, b2, options["eps"]).rule
    direction, moments = rule(gradient, tuple(slots[1:]), slots[0] + 1)
    return direction, list(moments)


def _clipped_adam(options: Options, gradient: Tensor, slots: Slots) -> tuple[Tensor, list[Tensor]]:
    b1, b2 = options["betas"]
    count = slots[0].double() + 1
    mean = b1 * slots[1] + (1 - b1) * gradient
    square = b2 * slots[2] + (1 - b2) * gradient.square()
    size = (-torch.expm1(count * math.log(b2))).sqrt() / -torch.expm1(count * math.log(b1))
    return size * mean / (square.sqrt() + options["eps"]), [mean, square]


def _sgd(options: Options, gradient: Tensor, slots: Slots) -> tuple[Tensor, list[Tensor]]:
    if not options["momentum"]:
        return gradient, []
    velocity = options["momentum"] * slots[1] + gradient
    return velocity, [velocity]


def _rmsprop(options: Options, gradient: Tensor, slots: Slots) -> tuple[Tensor, list[Tensor]]:
    rule = functional.RMSProp(1.0, options["alpha"], options["eps"]).rule
    direction, moments = rule(gradient, tuple(slots[1:]), slots[0] + 1)
    return direction, list(moments)


_PLAIN = {"maximize": False, "differentiable": False, "capturable": False}
_OF_ADAM = ("betas", "eps", "weight_decay")
KNOWN: dict[Any, Known] = {
    torch.optim.Adam: Known(
        _adam,
        ("exp_avg", "exp_avg_sq"),
        {**_PLAIN, "amsgrad": False, "decoupled_weight_decay": False},
        _OF_ADAM,
    ),
    ClippedAdam: Known(_clipped_adam, ("exp_avg", "exp_avg_sq"), {}, (*_OF_ADAM, "clip_norm")),
    torch.optim.SGD: Known(
        _sgd,
        ("momentum_buffer",),
        {**_PLAIN, "dampening": 0, "nesterov": False},
        ("momentum", "weight_decay"),
    ),
    torch.optim.RMSprop: Known(
        _rmsprop,
        ("square_avg",),
        {**_PLAIN, "momentum": 0, "centered": False},
        ("alpha", "eps", "weight_decay"),
    ),
}


def why_not(optim: Any) -> str | None:
    """Say why an optimizer has no pure update; None if it has one, as far as it is known by now."""
    if not isinstance(optim, PyroOptim):
        return f"the update of {optim!r} is not known as a pure function"
    if optim.pt_optim_constructor not in KNOWN:
        names = ", ".join(sorted(cls.__name__ for cls in KNOWN))
        return f"the update of {optim!r} is not known as a pure function, those of {names} are"
    return None


@dataclass(frozen=True, eq=False)  # one object is one plan
class Plan:
    """What an update needs besides tensors.

    Attributes:
        options: The class of the torch optimizer of each parameter, and the options of its rule.
        num_moments: How many moments each parameter has.
    """

    options: list[tuple[Any, Options]]
    num_moments: list[int]


class PureUpdate:
    """The update of some parameters by an optimizer that has adopted them.

    Args:
        optim: The optimizer, of a kind for which :func:`why_not` knows no reason.
        leaves: The parameters, which it adopts if it has not yet.
        plan: That of an update before, which is kept if it is the same.

    Attributes:
        leaves: The parameters.
        why_not: Why there is no pure update, such as an option; None if there is one.
    """

    def __init__(
        self, optim: PyroOptim, leaves: Sequence[Tensor], plan: Plan | None = None
    ) -> None:
        for leaf in leaves:
            if leaf not in optim._group_of:
                optim._adopt(leaf)
        self.leaves = list(leaves)
        self._optimizers = [optim._group_of[leaf].optimizer for leaf in leaves]
        self._distinct = list(dict.fromkeys(self._optimizers))
        self.why_not = next(filter(None, map(self._refusal, leaves, self._optimizers)), None)
        if self.why_not is None and any(optim._clipping[leaf] for leaf in leaves):
            self.why_not = "clip_args have no pure update"
        self._plan = plan
        self._rates: tuple[tuple[float, ...], Tensor] = (), torch.empty(0)

    def fits(self, optim: PyroOptim, leaves: Sequence[Tensor]) -> bool:
        """Return whether these parameters are still the ones, with the same torch optimizers."""
        return len(leaves) == len(self.leaves) and all(
            leaf is own and leaf in optim._group_of and optim._group_of[leaf].optimizer is known
            for leaf, own, known in zip(leaves, self.leaves, self._optimizers, strict=True)
        )

    def plan(self) -> Plan:
        """Return what :func:`updated` needs besides tensors, one object while nothing changes."""
        found = {
            o: (type(o), {name: o.param_groups[0][name] for name in KNOWN[type(o)].read})
            for o in self._distinct
        }
        options = [found[o] for o in self._optimizers]
        if self._plan is None or self._plan.options != options:
            self._plan = Plan(options, [len(self._moments(o)) for o in self._optimizers])
        return self._plan

    def slots(self) -> list[Tensor] | None:
        """Return all slots in order; None before the first usual update, which makes them."""
        names = {o: self._moments(o) for o in self._distinct}
        slots: list[Tensor] = []
        for state, optimizer in self._states():
            own = [state.get(name) for name in names[optimizer]]
            slots += [_count(state), *(x for x in own if isinstance(x, Tensor))]
            if not all(isinstance(x, Tensor) for x in own):
                return None
        return slots

    def rates(self, number: int = 1) -> Tensor:
        """Return the learning rates of the next updates, shape ``(update, parameter)``."""
        next_rates = {o: _next_rate(o.param_groups[0]) for o in self._distinct}
        rates = tuple(next_rates[o] for o in self._optimizers)
        if any(o.param_groups[0].get("lrd", 1.0) != 1.0 for o in self._distinct):
            decays = [float(o.param_groups[0].get("lrd", 1.0)) for o in self._optimizers]
            rows = [rates]
            for _ in range(number - 1):
                rows.append(tuple(map(mul, rows[-1], decays)))
            return torch.tensor(rows, dtype=torch.float64)
        if rates != self._rates[0]:
            self._rates = rates, torch.tensor(rates, dtype=torch.float64)
        return self._rates[1].expand(number, -1)

    def commit(self, values: Sequence[Tensor]) -> None:
        """Write what :func:`updated` returned into the parameters and their state."""
        old, new = list(self.leaves), list(values[: len(self.leaves)])
        fresh = iter(values[len(self.leaves) :])
        for state, optimizer in self._states():
            count = next(fresh)
            if isinstance(state.get("step"), Tensor):
                old.append(state["step"])
                new.append(count)
            elif "step" in state:
                state["step"] += 1
            for name in self._moments(optimizer):
                old.append(state[name])
                new.append(next(fresh))
        with torch.no_grad():
            torch._foreach_copy_(old, new)
        self._advance_rates(1)

    def advance(self, number: int) -> None:
        """Note that updates were made of the parameters and of tensors of the state in place."""
        for state, _ in self._states():
            if isinstance(state.get("step"), int):
                state["step"] += number
        self._advance_rates(number)

    def _advance_rates(self, number: int) -> None:
        for optimizer in self._distinct:
            group = optimizer.param_groups[0]
            if group.get("lrd", 1.0) != 1.0:
                for _ in range(number):
                    group["lr"] = _next_rate(group)

    def _states(self) -> list[tuple[dict[str, Any], Any]]:
        pairs = zip(self.leaves, self._optimizers, strict=True)
        return [(optimizer.state.get(leaf, {}), optimizer) for leaf, optimizer in pairs]

    @staticmethod
    def _moments(optimizer: Any) -> tuple[str, ...]:
        has_none = optimizer.param_groups[0].get("momentum", None) == 0
        is_sgd = type(optimizer) is torch.optim.SGD
        return () if has_none and is_sgd else KNOWN[type(optimizer)].moments

    @staticmethod
    def _refusal(leaf: Tensor, optimizer: Any) -> str | None:
        if type(optimizer) not in KNOWN:
            return f"the update of {type(optimizer).__name__} is not known as a pure function"
        if not leaf.is_floating_point() or leaf.layout is not torch.strided:
            return "parameters must be dense real numbers"
        group = optimizer.param_groups[0]
        for name, value in KNOWN[type(optimizer)].fixed.items():
            if group.get(name, value) != value:
                return f"{type(optimizer).__name__} with {name}={group[name]!r} has no pure update"
        return None


def updated(
    plan: Plan,
    rates: Tensor,
    slots: Sequence[Tensor],
    leaves: Sequence[Tensor],
    gradients: Sequence[Tensor],
) -> list[Tensor]:
    """Return the parameters and then the slots after one update; nothing is changed.

    Args:
        plan: What :meth:`PureUpdate.plan` returned.
        rates: Their learning rates, shape ``(parameter,)``; see :meth:`PureUpdate.rates`.
        slots: See :meth:`PureUpdate.slots`.
        leaves: The parameters.
        gradients: Their gradients.
    """
    given, new_leaves, new_slots = iter(slots), [], []
    for i, (kind, options) in enumerate(plan.options):
        own = [next(given) for _ in range(1 + plan.num_moments[i])]
        leaf, gradient = leaves[i], gradients[i]
        if "clip_norm" in options:
            gradient = gradient.clamp(-options["clip_norm"], options["clip_norm"])
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * leaf
        direction, moments = KNOWN[kind].rule(options, gradient, own)
        new_leaves.append((leaf - rates[i].to(leaf.device) * direction).to(leaf.dtype))
        new_slots += [own[0] + 1, *moments]
    return new_leaves + new_slots


def _next_rate(group: Options) -> float:
    return float(group["lr"]) * float(group.get("lrd", 1.0))


def _count(state: dict[str, Any]) -> Tensor:
    step = state.get("step", 0)
    return step if isinstance(step, Tensor) else torch.tensor(float(step))
