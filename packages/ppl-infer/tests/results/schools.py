"""A model and draws from its posterior that tests of results share."""

from __future__ import annotations

import torch

import ppl
import ppl.distributions as dist

NAMES = ["Choate", "Deerfield", "Andover", "Exeter", "Lawrenceville", "Hotchkiss", "Paul", "Hermon"]
EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(errors, effects=None, names=NAMES):
    """Eight schools, not centred."""
    mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
    tau = ppl.sample("tau", dist.HalfNormal(5.0))
    with ppl.plate("school", len(errors), coords=names):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        theta = ppl.deterministic("theta", mu + tau * z)
        ppl.sample("effect", dist.Normal(theta, errors), obs=effects)


def exact_normal(y, num_draws, prior_scale=10.0):
    """Return draws ``(4, draw)`` of the mean of normal data, and its mean and variance."""
    precision = prior_scale**-2 + len(y)
    loc, variance = y.sum() / precision, 1 / precision
    draws = loc + variance**0.5 * torch.randn(4, num_draws, dtype=y.dtype)
    return draws, loc, variance


def normal(y, prior_scale=10.0):
    """Return the model of that posterior."""
    zero = torch.zeros((), dtype=y.dtype)
    mean = ppl.sample("mean", dist.Normal(zero, prior_scale))
    with ppl.plate("row", len(y)):
        ppl.sample("y", dist.Normal(mean, 1.0), obs=y)
