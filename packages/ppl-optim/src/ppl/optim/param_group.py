"""A group: parameters that share their options, and so one torch optimizer and one fused step."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

_FUSED_DTYPES_CPU = (torch.float32, torch.float64)


class ParamGroup:
    """Parameters with equal options and an equal history of learning rates.

    Args:
        optimizer: A torch optimizer with one group of parameters.
        arguments: What the user asked for; groups that differ here are never merged.
        scheduler: What changes the learning rate of ``optimizer``, if anything does.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        arguments: Mapping[str, Any],
        scheduler: LRScheduler | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.arguments = arguments
        self.scheduler = scheduler
        self.is_open = True  # to further parameters: not once a user has the torch optimizer

    @property
    def params(self) -> list[Tensor]:
        """The parameters, in order of arrival."""
        params: list[Tensor] = self.optimizer.param_groups[0]["params"]
        return params

    @property
    def options(self) -> dict[str, Any]:
        """The current options of the torch optimizer."""
        group = self.optimizer.param_groups[0]
        return {name: value for name, value in group.items() if name != "params"}

    def accepts(self, other: ParamGroup) -> bool:
        """Whether the parameters of ``other`` would be treated the same here."""
        return (
            self.is_open
            and _equal(self.arguments, other.arguments)
            and _equal(self.options, other.options)
            and _equal(_state_of(self.scheduler), _state_of(other.scheduler))
        )

    def join(self, other: ParamGroup) -> None:
        """Take over the parameters of ``other`` and their state."""
        self.params.extend(other.params)
        self.optimizer.state.update(other.optimizer.state)

    def remove(self, param: Tensor) -> None:
        """Forget a parameter and its state."""
        self.params[:] = [kept for kept in self.params if kept is not param]
        self.optimizer.state.pop(param, None)

    def get_state(self, param: Tensor) -> dict[str, Any]:
        """Return a copy of what is known of one parameter, as if it had an optimizer of its own."""
        state = self.optimizer.state.get(param)
        own: dict[str, Any] = {
            "state": {0: dict(state)} if state else {},
            "param_groups": [{**self.options, "params": [0]}],
        }
        if self.scheduler is not None:
            own = {"optimizer": own, "scheduler": self.scheduler.state_dict()}
        return copy.deepcopy(own)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`get_state` returned; this group must have a single parameter."""
        # a copy, since torch would update the caller's tensors in place
        own: dict[str, Any] = copy.deepcopy(dict(state))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(own["scheduler"])
            own = own["optimizer"]
        self.optimizer.load_state_dict(own)
        restored = self.optimizer.state[self.params[0]]
        for name, value in own["state"].get(0, {}).items():
            # torch gives numbers such as a product of momenta the dtype of the parameter
            if isinstance(value, Tensor) and value.dim() == 0:
                restored[name] = value.to(restored[name].device)


def make_optimizer(
    constructor: Callable[..., Optimizer], param: Tensor, options: Mapping[str, Any]
) -> Optimizer:
    """Return a torch optimizer of one parameter, by the fastest kernel that torch offers for it."""
    return constructor([param], **_fast_path(constructor, options, param), **options)


def _fast_path(
    constructor: Callable[..., Optimizer], options: Mapping[str, Any], param: Tensor
) -> dict[str, Any]:
    """Return the option that makes a torch optimizer step all parameters in one go.

    A fused kernel is best, "foreach" next. Nothing is returned where the user has chosen, or where
    torch offers neither: sparse gradients, learning rates that are tensors.
    """
    offered = inspect.signature(constructor).parameters
    is_chosen = not {"fused", "foreach", "differentiable", "capturable"}.isdisjoint(options)
    is_sparse = param.grad is not None and param.grad.layout != torch.strided
    has_tensors = any(isinstance(value, Tensor) for value in options.values())
    if is_chosen or is_sparse or has_tensors or not param.is_floating_point():
        return {}
    # the fused kernel of SGD cannot take parameters with and without momentum, as late ones are
    if "fused" in offered and constructor is not torch.optim.SGD and _has_fused_kernel(param):
        return {"fused": True}
    return {"foreach": True} if "foreach" in offered else {}


def _has_fused_kernel(param: Tensor) -> bool:
    if param.device.type == "cpu":
        return param.dtype in _FUSED_DTYPES_CPU
    return param.device.type == "cuda"


def _state_of(scheduler: LRScheduler | None) -> dict[str, Any] | None:
    return None if scheduler is None else scheduler.state_dict()


def _equal(left: object, right: object) -> bool:
    try:
        return bool(left == right)
    except (RuntimeError, TypeError, ValueError):  # arrays have no truth value
        return False
