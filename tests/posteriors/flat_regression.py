"""Linear regressions without priors (Gelman & Hill 2006): earnings, mesquite bushes, elections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(x: Tensor, y: Tensor) -> None:
    """Normal errors and flat priors; ``x`` is ``(observation, coefficient)`` with a leading 1."""
    flat = dist.Normal(x.new_zeros(x.shape[-1]), 1.0).to_event(1).mask(False)
    beta = ppl.sample("beta", flat)
    sigma = ppl.sample("sigma", dist.HalfNormal(x.new_ones(())).mask(False))
    with ppl.plate("observations", len(x)):
        ppl.sample("y", dist.Normal(x @ beta, sigma), obs=y)


def earnings(data: Mapping[str, Any]) -> dict[str, Tensor]:
    """Log earnings on height, sex and their product."""
    height, male = tensor(data["height"]), tensor(data["male"])
    return {"x": design(height, male, height * male), "y": tensor(data["earn"]).log()}


def mesquite(data: Mapping[str, Any]) -> dict[str, Tensor]:
    """Log weight of the leaves on the logs of a bush's dimensions."""
    diam1, diam2 = tensor(data["diam1"]), tensor(data["diam2"])
    sizes = [
        diam1 * diam2 * tensor(data["canopy_height"]),
        diam1 * diam2,
        diam1 / diam2,
        tensor(data["total_height"]),
        tensor(data["density"]),
    ]
    x = design(*(size.log() for size in sizes), tensor(data["group"]))
    return {"x": x, "y": tensor(data["weight"]).log()}


def election(data: Mapping[str, Any]) -> dict[str, Tensor]:
    """Party identification on ideology, age group and four more traits."""
    age = torch.as_tensor(data["age_discrete"])
    x = design(
        tensor(data["real_ideo"]),
        tensor(data["race_adj"]),
        *(tensor(age == group) for group in (2, 3, 4)),
        *(tensor(data[name]) for name in ("educ1", "gender", "income")),
    )
    return {"x": x, "y": tensor(data["partyid7"])}


def design(*columns: Tensor) -> Tensor:
    """Return the columns after one of ones."""
    return torch.stack([torch.ones_like(columns[0]), *columns], -1)


CORRELATED = {"full_mass": True}  # the columns are not centred

EARNINGS = Posterior("earnings-logearn_interaction", model, earnings, CORRELATED)
MESQUITE = Posterior("mesquite-logmesquite_logvas", model, mesquite, CORRELATED)
ELECTION = Posterior("nes2000-nes", model, election, CORRELATED)
