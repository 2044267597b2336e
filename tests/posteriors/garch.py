"""A simulated series whose volatility clusters: GARCH(1, 1) (Bollerslev 1986)."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(y: Tensor, sigma1: float) -> None:
    """Flat priors on ``alpha1 + beta1 < 1``; ``sigma1`` is the volatility at the start."""
    one = y.new_ones(())
    mu = ppl.sample("mu", dist.Normal(y.new_zeros(()), 1.0).mask(False))
    alpha0 = ppl.sample("alpha0", dist.HalfNormal(one).mask(False))
    alpha1 = ppl.sample("alpha1", dist.Uniform(0 * one, one))
    beta1 = ppl.sample("beta1", dist.Uniform(0 * one, 1 - alpha1).mask(False))  # without 1 / width
    variance = [y.new_full((), sigma1**2)]
    for shock in alpha0 + alpha1 * (y[:-1] - mu) ** 2:
        variance.append(shock + beta1 * variance[-1])
    with ppl.plate("times", len(y)):
        ppl.sample("y", dist.Normal(mu, torch.stack(variance).sqrt()), obs=y)


GARCH = Posterior(
    "garch-garch11", model, lambda data: {"y": tensor(data["y"]), "sigma1": data["sigma1"]}
)
