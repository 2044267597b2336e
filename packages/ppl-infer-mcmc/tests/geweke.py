"""The joint test of Geweke 2004, "Getting it right", over many replications at once.

Each replication starts at a draw of parameters and data from their joint distribution, then data
given parameters and parameters given data take turns. Whatever the number of turns, a right kernel
ends at independent draws of the joint distribution, so functions of these have known distributions.
Kolmogorov-Smirnov tests of them fail by chance with a probability of ``LEVEL`` each.
"""

from __future__ import annotations

import torch
from scipy import stats

import ppl.distributions as dist
from ppl.primitives import plate, sample

LEVEL = 1e-5
ROWS = 3


def prior(n: int) -> dict[str, torch.Tensor]:
    zeros = torch.zeros(n, dtype=torch.float64)
    return {"loc": dist.Normal(zeros, 1.0).sample(), "scale": dist.Gamma(zeros + 3, 3.0).sample()}


def data(params: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return data given parameters, ``(replication, ROWS)``."""
    noise = torch.randn(len(params["loc"]), ROWS, dtype=torch.float64)
    return params["loc"][:, None] + params["scale"][:, None] * noise


def model(y: torch.Tensor) -> None:
    """One replication."""
    zero = torch.zeros((), dtype=torch.float64)
    loc, scale = sample("loc", dist.Normal(zero, 1.0)), sample("scale", dist.Gamma(zero + 3, 3.0))
    with plate("rows", ROWS):
        sample("y", dist.Normal(loc, scale), obs=y)


def replicated(y: torch.Tensor) -> None:
    """All replications as one model, for kernels whose chains do not run together."""
    zero = torch.zeros((), dtype=torch.float64)
    with plate("replications", len(y), dim=-1):
        loc = sample("loc", dist.Normal(zero, 1.0))
        scale = sample("scale", dist.Gamma(zero + 3, 3.0))
        sample("y", dist.Normal(loc[:, None], scale[:, None]).to_event(1), obs=y)


def p_values(params: dict[str, torch.Tensor], y: torch.Tensor) -> dict[str, float]:
    """Return how probable it is that draws of the joint distribution look worse than these."""
    loc, scale = params["loc"], params["scale"]
    z = (y.mean(-1) - loc) / scale * ROWS**0.5
    squares = ((y - y.mean(-1, keepdim=True)) ** 2).sum(-1) / scale**2
    tests = {
        "loc": (loc, stats.norm.cdf),
        "scale": (scale, stats.gamma(3, scale=1 / 3).cdf),
        "mean of data": (z, stats.norm.cdf),
        "variance of data": (squares, stats.chi2(ROWS - 1).cdf),
    }
    return {name: float(stats.kstest(x, cdf).pvalue) for name, (x, cdf) in tests.items()}
