"""Type-checked only: models as users write them."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl import poutine


def model(data: Tensor) -> Tensor:
    mean: Tensor = ppl.sample("mean", dist.Normal(0.0, 1.0))
    scale: Tensor = ppl.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
    with ppl.plate("data", len(data), dim=-1):
        obs: Tensor = ppl.sample("obs", dist.Normal(mean, scale), obs=data)
    return obs


def shapes() -> torch.Size:
    rows = dist.Normal(torch.zeros(3, 2), 1.0).to_event(1).mask(torch.ones(3, dtype=torch.bool))
    batch_shape: torch.Size = rows.expand_by([4]).batch_shape
    return batch_shape


def log_density(data: Tensor) -> Tensor:
    with ppl.validation_enabled(False):
        trace = poutine.trace(poutine.condition(model, data={"mean": 0.5})).get_trace(data)
    total: Tensor = trace.log_prob_sum()
    return total
