"""Type-checked only: a distribution and a handler as third parties write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl import plugins
from ppl.distribution import TorchDistribution
from ppl.errors import PPLError
from ppl.poutine.messenger import Messenger


class Fair(TorchDistribution):
    """A coin with no bias."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.boolean

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return torch.bernoulli(torch.full(self._extended_shape(sample_shape), 0.5))

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.full_like(value, 0.5).log()


class Count(Messenger):
    """Counts the sample sites."""

    def __init__(self) -> None:
        self.seen = 0

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        self.seen += 1


def load_or_explain(name: str) -> object | str:
    try:
        return plugins.load("ppl.distributions", name)
    except PPLError as error:
        return str(error)
