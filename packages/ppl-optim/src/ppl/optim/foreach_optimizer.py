"""What our own torch optimizers share: one update of all parameters of a group at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor


class ForeachOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose derived classes update lists of tensors in :meth:`_update`."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters that have a gradient; return what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._begin(group)
            pairs = [(param, param.grad) for param in group["params"] if param.grad is not None]
            if pairs:
                params, gradients = map(list, zip(*pairs, strict=True))
                self._update(params, gradients, group)
        return loss

    def _begin(self, group: dict[str, Any]) -> None:
        """Change the options of a group before its step, as learning rates that decay do."""

    def _update(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        """Update the parameters of a group in place, all of which have a gradient."""
        raise NotImplementedError(f"{type(self).__name__} does not implement _update")
