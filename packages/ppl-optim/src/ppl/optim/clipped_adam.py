"""Adam with clipped gradients and a learning rate that decays at every step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .decaying_adam import DecayingAdam, step_size


class ClippedAdam(DecayingAdam):
    """Adam (Kingma and Ba 2015) on clipped gradients, with a geometrically decaying step size.

    The entries of each gradient are clamped to ``[-clip_norm, clip_norm]``, then weight decay is
    added. Step ``k``, from one, uses the learning rate ``lr * lrd**k``; that of the last step is
    in ``param_groups``, where torch's schedulers and checkpoints find it.

    Args:
        params: Parameters, or dicts of them with options of their own.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Added to the root of the mean square, on its uncorrected scale.
        weight_decay: Coefficient of the L2 penalty.
        clip_norm: Bound of each entry of a gradient.
        lrd: Factor of the learning rate at each step; 0.1 ** (1 / n) divides it by ten in n steps.
        centered_variance: Scale by the running mean square of the gradient's distance from its
            running mean, which grows the steps where gradients are steady.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> optimizer = ClippedAdam([x], lr=0.2, lrd=0.5)
        >>> x.grad = torch.tensor([1e6])
        >>> optimizer.step()
        >>> x.detach()
        tensor([0.9000])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        centered_variance: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "centered_variance": centered_variance,
        }
        super().__init__(params, defaults)

    def _update(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._advance(param) for param in params]
        means = [state["exp_avg"] for state in states]
        squares = [state["exp_avg_sq"] for state in states]
        gradients = list(torch._foreach_clamp_max(gradients, group["clip_norm"]))
        torch._foreach_clamp_min_(gradients, -group["clip_norm"])
        torch._foreach_add_(gradients, params, alpha=group["weight_decay"])
        torch._foreach_lerp_(means, gradients, 1 - group["betas"][0])
        if group.get("centered_variance"):  # older checkpoints lack it
            gradients = list(torch._foreach_sub(gradients, means))
        torch._foreach_mul_(squares, group["betas"][1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["betas"][1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(params, means, roots, [step_size(s["step"], group) for s in states])
