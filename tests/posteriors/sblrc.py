"""A simulated linear regression with correlated columns."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(x: Tensor, y: Tensor) -> None:
    """Linear regression without an intercept; ``x`` is ``(observation, coefficient)``."""
    beta = ppl.sample("beta", dist.Normal(x.new_zeros(x.shape[-1]), 10.0).to_event(1))
    sigma = ppl.sample("sigma", dist.HalfNormal(x.new_full((), 10.0)))
    with ppl.plate("observations", len(x)):
        ppl.sample("y", dist.Normal(x @ beta, sigma), obs=y)


SBLRC = Posterior(
    "sblrc-blr",
    model,
    lambda data: {"x": tensor(data["X"]), "y": tensor(data["y"])},
    {"full_mass": True},  # the columns are correlated
    num_samples=1500,
)
