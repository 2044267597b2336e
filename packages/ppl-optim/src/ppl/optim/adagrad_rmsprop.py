"""A mixture of Adagrad and RMSProp: the step sizes of automatic differentiation VI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .foreach_optimizer import ForeachOptimizer


class AdagradRMSProp(ForeachOptimizer):
    """The steps of Kucukelbir et al. (2017), "Automatic differentiation variational inference".

    Step ``k`` has the size ``eta * k**(-1/2 + delta) / (1 + sqrt(s_k))`` (their equation 10) with
    the memory of squared gradients ``s_k = t * g_k**2 + (1 - t) * s_{k-1}``, ``s_1 = g_1**2``
    (equation 11): the decay of Adagrad (Duchi et al. 2011) with the memory of RMSProp.

    Args:
        params: Parameters, or dicts of them with options of their own.
        eta: Scale of the step size.
        delta: Small positive number in the exponent of the decay.
        t: Weight of the present gradient in the memory, in ``(0, 1)``.
        lr: A factor of the step size, for torch's schedulers.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> x.grad = torch.ones(1)
        >>> AdagradRMSProp([x]).step()
        >>> x.detach()
        tensor([0.5000])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        eta: float = 1.0,
        delta: float = 1e-16,
        t: float = 0.1,
        lr: float = 1.0,
    ) -> None:
        super().__init__(params, {"eta": eta, "delta": delta, "t": t, "lr": lr})

    def share_memory(self) -> None:
        """Move the state into shared memory, for processes that update the same parameters."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def _update(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        squares = torch._foreach_mul(gradients, gradients)
        states = [self._advance(*pair) for pair in zip(params, squares, strict=True)]
        memory = [state["sum"] for state in states]
        torch._foreach_lerp_(memory, squares, group["t"])
        scales = torch._foreach_sqrt(memory)
        torch._foreach_add_(scales, 1.0)
        size = -group["eta"] * group["lr"]
        decays = [size * state["step"] ** (group["delta"] - 0.5) for state in states]
        torch._foreach_addcdiv_(params, gradients, scales, decays)

    def _advance(self, param: Tensor, square: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[param]
        if not state:
            state["step"] = 0
            state["sum"] = square.clone()
        state["step"] += 1
        return state
