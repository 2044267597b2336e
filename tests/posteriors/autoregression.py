"""A simulated autoregression of order five."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(y: Tensor, order: int) -> None:
    """Autoregression given the first ``order`` values; ``beta[k]`` belongs to lag ``k + 1``."""
    lags = y.unfold(0, order, 1)[:-1].flip(-1)  # (time - order, order), the latest first
    alpha = ppl.sample("alpha", dist.Normal(y.new_zeros(()), 10.0))
    beta = ppl.sample("beta", dist.Normal(y.new_zeros(order), 10.0).to_event(1))
    sigma = ppl.sample("sigma", dist.HalfCauchy(y.new_full((), 2.5)))
    with ppl.plate("times", len(lags)):
        ppl.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y[order:])


AUTOREGRESSION = Posterior(
    "arK-arK", model, lambda data: {"y": tensor(data["y"]), "order": data["K"]}
)
