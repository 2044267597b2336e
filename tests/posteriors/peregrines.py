"""Breeding pairs of peregrines in the French Jura, by year (Kéry & Schaub 2011, section 3.3)."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(year: Tensor, count: Tensor) -> None:
    """Poisson regression with a cubic trend; ``year`` is standardized."""
    ten = year.new_full((), 10.0)
    alpha = ppl.sample("alpha", dist.Uniform(-2 * ten, 2 * ten))
    beta1 = ppl.sample("beta1", dist.Uniform(-ten, ten))
    beta2 = ppl.sample("beta2", dist.Uniform(-ten, ten))
    beta3 = ppl.sample("beta3", dist.Uniform(-ten, ten))
    log_rate = alpha + beta1 * year + beta2 * year**2 + beta3 * year**3
    with ppl.plate("years", len(year)):
        ppl.sample("count", dist.Poisson(log_rate.exp()), obs=count)


PEREGRINES = Posterior(
    "GLM_Poisson_Data-GLM_Poisson_model",
    model,
    lambda data: {"year": tensor(data["year"]), "count": tensor(data["C"])},
    # with a random trend a rate may be exp(50), where no difference of energies is resolved
    start={name: tensor(0.0) for name in ("beta1", "beta2", "beta3")},
    num_samples=1000,
)
