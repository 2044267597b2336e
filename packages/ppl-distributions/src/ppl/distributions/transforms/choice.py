"""A choice between two transforms by a mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from ppl.errors import ShapeError

from .. import constraints


class ChoiceTransform(Transform):
    """Bijection onto the supports of a masked mixture, element by element that of a component.

    Args:
        codomain: The choice of supports.
        registry: ``biject_to`` or ``transform_to``.
    Raises:
        ShapeError: If the transforms of both supports take different shapes.
    """

    codomain: Any

    def __init__(self, codomain: Any, registry: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.codomain, self._registry = codomain, registry
        self.first: Transform = registry(codomain.first)
        self.second: Transform = registry(codomain.second)
        self.bijective: bool = self.first.bijective and self.second.bijective
        if self.first.domain.event_dim != self.second.domain.event_dim:
            raise ShapeError(
                f"the supports {codomain.first} and {codomain.second} have coordinates of "
                "different dimensions; transform one of both components"
            )

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        return self.first.domain

    def _pick(self, first: Tensor, second: Tensor, event_dim: int) -> Tensor:
        mask = self.codomain.mask
        return torch.where(mask.reshape(mask.shape + (1,) * event_dim), second, first)

    def _call(self, x: Tensor) -> Tensor:
        return self._pick(self.first(x), self.second(x), self.codomain.event_dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._pick(self.first.inv(y), self.second.inv(y), self.domain.event_dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        first, second = (t.log_abs_det_jacobian(x, t(x)) for t in (self.first, self.second))
        return self._pick(first, second, 0)

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size(self.first.forward_shape(shape))

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size(self.first.inverse_shape(shape))
