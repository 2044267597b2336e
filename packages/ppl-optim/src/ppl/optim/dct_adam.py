"""Adam on the frequencies of a series: for parameters that change smoothly along a dimension."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .decaying_adam import DecayingAdam, step_size


class DCTAdam(DecayingAdam):
    """Clipped Adam whose steps are taken on the discrete cosine transform of a dimension.

    Adam (Kingma and Ba 2015) scales each coordinate by its own history of gradients. Neighbours in
    a time series have nearly the same gradients; their orthonormal DCT-II (Ahmed, Natarajan and Rao
    1974) separates slow from fast changes, which differ in scale. So the gradient is transformed
    along ``dim``, the step of Adam is taken there, and transformed back. Without ``dim`` it is
    :class:`~ppl.optim.clipped_adam.ClippedAdam`.

    Args:
        params: Parameters, or dicts of them with options of their own.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Added to the root of the mean square, on its uncorrected scale.
        clip_norm: Bound of each entry of a gradient.
        lrd: Factor of the learning rate at each step.
        subsample_aware: Whether entries with gradient zero, as those outside of a subsample have,
            keep their value and their running means.
        dim: The dimension of time, None for none. To say it for one parameter alone, give
            ``ppl.optim.DCTAdam`` a function from its name to options.

    Example:
        >>> x = torch.zeros(4, requires_grad=True)
        >>> optimizer = DCTAdam([x], lr=0.1, dim=-1)
        >>> x.grad = torch.ones(4)
        >>> optimizer.step()  # one frequency has a gradient: a step of 0.1 there
        >>> x.detach()
        tensor([-0.0500, -0.0500, -0.0500, -0.0500])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        subsample_aware: bool = False,
        dim: int | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "subsample_aware": subsample_aware,
            "dim": dim,
        }
        super().__init__(params, defaults)

    def _update(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        for param, gradient in zip(params, gradients, strict=True):
            gradient = gradient.clamp(-group["clip_norm"], group["clip_norm"])
            used = gradient != 0 if group["subsample_aware"] else None
            if group["dim"] is None:
                step = self._step(param, gradient, group, used)
            else:
                step = _inverse(
                    self._step(param, _dct(gradient, group["dim"]), group), group["dim"]
                )
                step = step if used is None else torch.where(used, step, 0.0)
            param.add_(step)

    def _step(
        self, param: Tensor, gradient: Tensor, group: dict[str, Any], used: Tensor | None = None
    ) -> Tensor:
        """Return the step of Adam, after updating the running means of the used entries."""
        state = self._advance(param)
        first, second = group["betas"]
        mean = torch.lerp(gradient, state["exp_avg"], first)
        square = torch.lerp(gradient**2, state["exp_avg_sq"], second)
        if used is not None:
            mean = mean.where(used, state["exp_avg"])
            square = square.where(used, state["exp_avg_sq"])
        state["exp_avg"], state["exp_avg_sq"] = mean, square
        step = step_size(state["step"], group) * mean / (square.sqrt() + group["eps"])
        return step if used is None else torch.where(used, step, 0.0)


def _dct(x: Tensor, dim: int) -> Tensor:
    return _matrix(x, dim, "dct")


def _inverse(x: Tensor, dim: int) -> Tensor:
    return _matrix(x, dim, "idct")


def _matrix(x: Tensor, dim: int, name: str) -> Tensor:
    """Apply a transform along a dimension."""
    # by name: the mathematics ships with the distributions, on which optimizers do not depend
    transforms: Any = importlib.import_module("ppl.ops.tensor_utils")
    result: Tensor = getattr(transforms, name)(x, dim=dim)
    return result
