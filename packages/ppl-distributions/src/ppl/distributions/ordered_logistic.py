"""Ordinal regression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ppl.distribution.util import broadcast_shape

from . import constraints
from .categorical import Categorical
from .parameters import as_parameter
from .tails import log1mexp


class OrderedLogistic(Categorical):
    """Which of ``k`` ordered categories a logistic variable around ``predictor`` falls into.

    Category ``i`` has probability ``sigmoid(c[i] - predictor) - sigmoid(c[i - 1] - predictor)``
    (McCullagh 1980), computed as a difference of logs.

    Args:
        predictor: Real, shape ``batch``.
        cutpoints: Increasing, shape ``(*batch, k - 1)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> OrderedLogistic(torch.tensor(0.0), torch.tensor([-1.0, 1.0])).probs
        tensor([0.2689, 0.4621, 0.2689])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "predictor": constraints.real,
        "cutpoints": constraints.ordered_vector,
    }

    def __init__(
        self, predictor: Tensor | float, cutpoints: Tensor, validate_args: bool | None = None
    ) -> None:
        if not cutpoints.is_floating_point():
            real = isinstance(predictor, Tensor) and predictor.is_floating_point()
            cutpoints = cutpoints.to(predictor.dtype if real else torch.get_default_dtype())  # type: ignore[union-attr]
        predictor = as_parameter(predictor, cutpoints)
        shape = torch.Size(broadcast_shape(predictor.shape, cutpoints.shape[:-1]))
        self.predictor: Tensor = predictor.expand(shape)
        self.cutpoints: Tensor = cutpoints.expand(shape + cutpoints.shape[-1:])
        super().__init__(logits=self._log_probs(), validate_args=validate_args)

    def _log_probs(self) -> Tensor:
        """Return the log probabilities, shape ``(*batch, k)``.

        ``sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b))`` keeps its digits.
        """
        gap = self.cutpoints - self.predictor.unsqueeze(-1)
        below, above = logsigmoid(gap), logsigmoid(-gap)
        width = log1mexp(self.cutpoints[..., :-1] - self.cutpoints[..., 1:])
        between = below[..., 1:] + above[..., :-1] + width
        return torch.cat([below[..., :1], between, above[..., -1:]], -1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(OrderedLogistic, _instance)
        batch_shape = torch.Size(batch_shape)
        new.predictor = self.predictor.expand(batch_shape)
        new.cutpoints = self.cutpoints.expand(batch_shape + self.cutpoints.shape[-1:])
        return super().expand(batch_shape, new)
