"""Gaussian process regression of eleven simulated values, the function integrated out."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(x: Tensor, y: Tensor) -> None:
    """Squared exponential kernel; ``sigma`` is the variance of the noise."""
    rho = ppl.sample("rho", dist.Gamma(x.new_full((), 25.0), 4.0))
    alpha = ppl.sample("alpha", dist.HalfNormal(x.new_full((), 2.0)))
    sigma = ppl.sample("sigma", dist.HalfNormal(x.new_ones(())))
    distance = x[:, None] - x
    kernel = alpha**2 * (-0.5 * (distance / rho) ** 2).exp()
    noise = sigma * torch.eye(len(x), dtype=x.dtype)
    ppl.sample("y", dist.MultivariateNormal(torch.zeros_like(y), kernel + noise), obs=y)


GAUSSIAN_PROCESS = Posterior(
    "gp_pois_regr-gp_regr", model, lambda data: {"x": tensor(data["x"]), "y": tensor(data["y"])}
)
