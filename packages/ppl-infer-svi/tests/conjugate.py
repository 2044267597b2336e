"""A mean with a normal prior and normal data, and the guide that contains its posterior."""

from __future__ import annotations

import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist

ZERO = torch.zeros((), dtype=torch.float64)


def model(data):
    z = ppl.sample("z", dist.Normal(ZERO, 1.0))
    with ppl.plate("data", len(data)):
        ppl.sample("x", dist.Normal(z, 1.0), obs=data)


def guide(data=None):
    m = ppl.param("m", ZERO.clone())
    s = ppl.param("s", ZERO + 1.0, constraint=constraints.positive)
    ppl.sample("z", dist.Normal(m, s))
