"""Vectors whose entries decrease, as a constraint that inference can reach."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import Transform


class _DecreasingVector(constraints.Constraint):
    """Vectors whose entries decrease strictly."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value[..., 1:] < value[..., :-1]).all(-1)


decreasing_vector = _DecreasingVector()


class DecreasingTransform(Transform):
    """Bijection from all vectors: the first entry stays, the others are logs of descents."""

    domain = constraints.real_vector
    codomain = decreasing_vector
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        first, descents = x[..., :1], x[..., 1:].exp()
        return torch.cat([first, first - descents.cumsum(-1)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([y[..., :1], (-y.diff(dim=-1)).log()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the logs of the descents."""
        return x[..., 1:].sum(-1)


@biject_to.register(decreasing_vector)  # type: ignore[untyped-decorator]
@transform_to.register(decreasing_vector)  # type: ignore[untyped-decorator]
def _to_decreasing(constraint: constraints.Constraint) -> DecreasingTransform:
    return DecreasingTransform()
