"""Flat densities with draws: auxiliary sites whose density is counted elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppl.distributions import ImproperUniform


class FlatWithDraws(ImproperUniform):
    """Density one over a support; draws come from a function, to start at and to predict.

    Args:
        draw: Returns a draw, given its sample shape.
        support: The support.
        batch_shape: Shape of independent values.
        event_shape: Shape of one value.
    """

    def __init__(
        self, draw: Callable[[Any], Tensor], support: Any, batch_shape: Any, event_shape: Any
    ) -> None:
        super().__init__(support, batch_shape, event_shape)
        self.draw = draw

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = torch.Size(batch_shape)
        if shape == self.batch_shape:
            return self
        return super().expand(shape, _instance)  # without draws

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.draw(sample_shape)
