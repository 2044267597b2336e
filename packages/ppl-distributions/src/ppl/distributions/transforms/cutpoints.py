"""Cutpoints of ordinal regression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from .. import constraints


class SimplexToOrderedTransform(Transform):
    """Bijection from probabilities of ordered categories to the cutpoints of a logistic latent.

    Cutpoint ``k`` is ``anchor_point + logit(y[0] + ... + y[k])``: if the latent score is
    ``anchor_point``, :class:`~ppl.distributions.OrderedLogistic` gives back the probabilities. With
    it a Dirichlet induces a prior of the cutpoints (Betancourt 2019, "Ordinal Regression",
    section 2.2).

    Args:
        anchor_point: Where the latent score is, a number or a tensor that broadcasts with the shape
            ``batch`` of the vectors; 0 by default.
        cache_size: 1 to remember the last value and its image, 0 not to.

    Example:
        >>> SimplexToOrderedTransform()(torch.tensor([0.25, 0.25, 0.5])).exp()
        tensor([0.3333, 1.0000])
    """

    domain: constraints.Constraint = constraints.simplex
    codomain: constraints.Constraint = constraints.ordered_vector
    bijective = True

    def __init__(self, anchor_point: Tensor | float | None = None, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        if not isinstance(anchor_point, Tensor):
            anchor_point = torch.tensor(anchor_point or 0.0, dtype=torch.float64)
        self.anchor_point = anchor_point

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimplexToOrderedTransform) and torch.equal(
            self.anchor_point, other.anchor_point
        )

    def with_cache(self, cache_size: int = 1) -> SimplexToOrderedTransform:
        return SimplexToOrderedTransform(self.anchor_point, cache_size)

    def _anchor(self, like: Tensor) -> Tensor:
        return self.anchor_point.to(like).unsqueeze(-1)

    def _call(self, x: Tensor) -> Tensor:
        below = x[..., :-1].cumsum(-1)
        above = x.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # 1 - below would lose digits near 0
        return self._anchor(x) + below.log() - above.log()

    def _inverse(self, y: Tensor) -> Tensor:
        score = y - self._anchor(y)
        below, above = score.sigmoid(), (-score).sigmoid()
        width = -(score[..., :-1] - score[..., 1:]).expm1()
        between = below[..., 1:] * above[..., :-1] * width  # a difference would lose digits
        return torch.cat([below[..., :1], between, above[..., -1:]], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        score = y - self._anchor(y)
        sigmoid = torch.nn.functional.logsigmoid
        return -(sigmoid(score) + sigmoid(-score)).sum(-1)

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-1], shape[-1] - 1))

    def inverse_shape(self, shape: Any) -> torch.Size:
        return torch.Size((*shape[:-1], shape[-1] + 1))
