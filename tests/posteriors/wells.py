"""Arsenic wells in Bangladesh (Gelman & Hill 2006, section 5.4): who switches to another well."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(x: Tensor, switched: Tensor) -> None:
    """Logistic regression with flat priors; ``x`` is ``(household, 3)``, ``switched`` 0 or 1."""
    alpha = ppl.sample("alpha", dist.Normal(x.new_zeros(()), 1.0).mask(False))
    beta = ppl.sample("beta", dist.Normal(x.new_zeros(3), 1.0).to_event(1).mask(False))
    with ppl.plate("households", len(x)):
        ppl.sample("switched", dist.Bernoulli(logits=alpha + x @ beta), obs=switched)


WELLS = Posterior(
    "wells_data-wells_dae_model",
    model,
    lambda data: {
        # hundreds of metres to the next safe well, arsenic in the own one, education in 4 years
        "x": torch.stack(
            [tensor(data["dist"]) / 100, tensor(data["arsenic"]), tensor(data["educ"]) / 4], -1
        ),
        "switched": tensor(data["switched"]),
    },
)
