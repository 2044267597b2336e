"""Second derivatives of a number that has been computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def hessian(y: Tensor, xs: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the matrix of second derivatives, itself differentiable.

    Args:
        y: A number, twice differentiable in ``xs``.
        xs: One tensor or several in the graph of ``y``, of ``n`` elements together.

    Returns:
        Shape ``(n, n)``, for the elements of the flattened tensors one after another.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hessian((x**3).sum(), x).detach()
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    inputs = [xs] if isinstance(xs, Tensor) else list(xs)
    gradient = _flat_gradient(y, inputs)
    return torch.stack([_flat_gradient(entry, inputs) for entry in gradient])


def _flat_gradient(y: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    if not y.requires_grad:  # linear: nothing is left to differentiate
        return torch.cat([torch.zeros_like(x).flatten() for x in inputs])
    gradients = torch.autograd.grad(
        y, inputs, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in gradients])
