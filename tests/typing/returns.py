"""Type-checked only: what statements return, in programs without annotations of their own."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist


def prior(loc: Tensor) -> Tensor:
    return ppl.sample("mean", dist.Normal(loc, 1.0))


def rows(size: int) -> Tensor:
    return ppl.sample("rows", dist.Normal(torch.zeros(size, 2), 1.0).to_event(1))


def of_torch() -> Tensor:
    return ppl.sample("x", torch.distributions.Normal(0.0, 1.0))


def of_a_function() -> int:
    return ppl.sample("k", lambda: 3)


def taken(data: Tensor) -> Tensor:
    with ppl.plate("data", len(data), subsample_size=2) as index:
        return ppl.sample("y", dist.Normal(0.0, 1.0), obs=data[index])
