"""Summer temperatures at Kilpisjärvi in Finland, by year."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(
    year: Tensor, celsius: Tensor, alpha_prior: dist.Distribution, beta_prior: dist.Distribution
) -> None:
    """A linear trend whose intercept lies four thousand years before the data."""
    alpha = ppl.sample("alpha", alpha_prior)
    beta = ppl.sample("beta", beta_prior)
    sigma = ppl.sample("sigma", dist.HalfNormal(year.new_ones(())).mask(False))
    with ppl.plate("years", len(year)):
        ppl.sample("celsius", dist.Normal(alpha + beta * year, sigma), obs=celsius)


def _prepare(data: Mapping[str, Any]) -> dict[str, Any]:
    def prior(name: str) -> dist.Distribution:
        return dist.Normal(tensor(data[f"pmu{name}"]), tensor(data[f"ps{name}"]))

    return {
        "year": tensor(data["x"]),
        "celsius": tensor(data["y"]),
        "alpha_prior": prior("alpha"),
        "beta_prior": prior("beta"),
    }


KILPISJARVI = Posterior(
    "kilpisjarvi_mod-kilpisjarvi",
    model,
    _prepare,
    {"full_mass": True},  # the correlation of intercept and slope is nearly -1
    num_samples=1000,
)
