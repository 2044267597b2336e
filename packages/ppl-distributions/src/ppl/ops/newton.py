"""Newton's method on a batch of low-dimensional variables."""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.errors import ShapeError


def newton_step(
    loss: Tensor, x: Tensor, trust_radius: float | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the variables after one Newton step, and the inverse Hessian.

    Both are differentiable as often as the loss is beyond its second derivative; detach the former
    in a loop. If the loss is a negative log density, they are the location and the covariance of
    its Laplace approximation.

    Args:
        loss: What to minimize, a scalar, twice differentiable in ``x``, in which the batch elements
            of ``x`` do not meet.
        x: The variables, shape ``(*batch, d)`` with a small ``d``, in the graph of ``loss``.
        trust_radius: Longest step. The Hessian is shifted by a multiple of the identity until its
            smallest eigenvalue makes the step fit (Yuan 2000, section 2), which also turns a step
            towards a saddle or a maximum into a descent. By default the step is not bounded.

    Returns:
        ``x`` after the step, shape ``(*batch, d)``, and the inverse of the (shifted) Hessian, shape
        ``(*batch, d, d)``.

    Raises:
        ShapeError: If ``loss`` is not a scalar or ``x`` has no dimension.

    Example:
        >>> x = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> newton_step(((x - 1) ** 2).sum(), x)[0].detach()
        tensor([1., 1.])
    """
    if loss.dim() != 0 or x.dim() == 0:
        raise ShapeError(
            f"newton_step needs a scalar loss and variables of shape (*batch, d), got shapes "
            f"{tuple(loss.shape)} and {tuple(x.shape)}"
        )
    gradient, hessian = _derivatives(loss, x)
    if trust_radius is not None:
        hessian = _fit_to_radius(gradient, hessian, trust_radius)
    covariance: Tensor = torch.linalg.inv(hessian)
    return x - (covariance @ gradient.unsqueeze(-1)).squeeze(-1), covariance


def newton_step_1d(
    loss: Tensor, x: Tensor, trust_radius: float | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return :func:`newton_step` of variables of shape ``(*batch, 1)``."""
    return _newton_step(loss, x, trust_radius, 1)


def newton_step_2d(
    loss: Tensor, x: Tensor, trust_radius: float | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return :func:`newton_step` of variables of shape ``(*batch, 2)``."""
    return _newton_step(loss, x, trust_radius, 2)


def newton_step_3d(
    loss: Tensor, x: Tensor, trust_radius: float | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return :func:`newton_step` of variables of shape ``(*batch, 3)``."""
    return _newton_step(loss, x, trust_radius, 3)


def _newton_step(
    loss: Tensor, x: Tensor, trust_radius: float | Tensor | None, dim: int
) -> tuple[Tensor, Tensor]:
    if x.dim() == 0 or x.shape[-1] != dim:
        raise ShapeError(f"variables must have shape (*batch, {dim}), got {tuple(x.shape)}")
    return newton_step(loss, x, trust_radius)


def _derivatives(loss: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    if not gradient.requires_grad:  # the loss is linear
        return gradient, gradient.new_zeros(*gradient.shape, gradient.shape[-1])
    rows = [
        torch.autograd.grad(entry.sum(), x, create_graph=True)[0] for entry in gradient.unbind(-1)
    ]
    return gradient, torch.stack(rows, -2)


def _fit_to_radius(gradient: Tensor, hessian: Tensor, radius: float | Tensor) -> Tensor:
    """Shift the spectrum above ``|gradient| / radius``, which bounds the step by the radius."""
    needed: Tensor = gradient.norm(dim=-1) / radius
    smallest = torch.linalg.eigvalsh(hessian)[..., 0]
    shift: Tensor = (needed - smallest).clamp(min=0)
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return hessian + shift[..., None, None] * identity
