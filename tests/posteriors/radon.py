"""Radon in Minnesota houses (Gelman & Hill 2006, chapter 12): a varying intercept by county."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(county: Tensor, num_counties: int, x: Tensor, log_radon: Tensor) -> None:
    """Non-centred hierarchy; ``x`` is ``(house, 2)``: county uranium and floor."""
    scale = x.new_ones(())
    sigma_alpha = ppl.sample("sigma_alpha", dist.HalfNormal(scale))
    sigma_y = ppl.sample("sigma_y", dist.HalfNormal(scale))
    mu_alpha = ppl.sample("mu_alpha", dist.Normal(0.0, 10.0 * scale))
    beta = ppl.sample("beta", dist.Normal(x.new_zeros(2), 10.0).to_event(1))
    with ppl.plate("counties", num_counties):
        alpha_raw = ppl.sample("alpha_raw", dist.Normal(0.0, scale))
    alpha = ppl.deterministic("alpha", mu_alpha + sigma_alpha * alpha_raw)
    with ppl.plate("houses", len(x)):
        ppl.sample("log_radon", dist.Normal(alpha[county] + x @ beta, sigma_y), obs=log_radon)


RADON = Posterior(
    "radon_mn-radon_hierarchical_intercept_noncentered",
    model,
    lambda data: {
        "county": torch.as_tensor(data["county_idx"]) - 1,
        "num_counties": data["J"],
        "x": torch.stack([tensor(data["log_uppm"]), tensor(data["floor_measure"])], -1),
        "log_radon": tensor(data["log_radon"]),
    },
    num_samples=1000,
)
