"""What the variants of Adam with a learning rate that decays share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .foreach_optimizer import ForeachOptimizer


class DecayingAdam(ForeachOptimizer):
    """Base of variants of Adam (Kingma and Ba 2015) whose learning rate shrinks at each step."""

    def _begin(self, group: dict[str, Any]) -> None:
        group["lr"] = group["lr"] * group["lrd"]

    def _advance(self, param: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[param]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        state["step"] += 1
        return state


def step_size(step: int, group: dict[str, Any]) -> float:
    """Return the (negative) size of a step of Adam, from one, without the starting bias."""
    first, second = (1 - beta**step for beta in group["betas"])
    size: float = -group["lr"] * math.sqrt(second) / first
    return size
