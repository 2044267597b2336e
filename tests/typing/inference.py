"""Type-checked only: inference as users write it."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoNormal
from ppl.optim import Adam


def model(data: Tensor | None = None) -> None:
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 4):
        ppl.sample("obs", dist.Normal(mean, 1.0), obs=data)


def fit(data: Tensor) -> list[float]:
    svi = SVI(model, AutoNormal(model), Adam({"lr": 0.01}), loss=Trace_ELBO(num_particles=2))
    losses: list[float] = [svi.step(data) for _ in range(10)]
    return losses


def draw(data: Tensor) -> Tensor:
    mcmc = MCMC(NUTS(model, target_accept_prob=0.9), num_samples=10, num_chains=2)
    mcmc.run(data)
    samples: dict[str, Tensor] = mcmc.get_samples(group_by_chain=True)
    replicated = Predictive(model, posterior_samples=mcmc.get_samples())()
    return torch.stack([samples["mean"].mean(), replicated["obs"].mean()])
