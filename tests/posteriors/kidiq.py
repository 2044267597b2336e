"""Children's test scores on mother's schooling and IQ (Gelman & Hill 2006, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(x: Tensor, kid_score: Tensor) -> None:
    """Linear regression with flat coefficients; ``x`` is ``(child, 3)`` with a leading 1."""
    beta = ppl.sample("beta", dist.Normal(x.new_zeros(3), 1.0).to_event(1).mask(False))
    sigma = ppl.sample("sigma", dist.HalfCauchy(x.new_full((), 2.5)))
    with ppl.plate("children", len(x)):
        ppl.sample("kid_score", dist.Normal(x @ beta, sigma), obs=kid_score)


KIDIQ = Posterior(
    "kidiq-kidscore_momhsiq",
    model,
    lambda data: {
        "x": torch.stack(
            [
                torch.ones(data["N"], dtype=torch.float64),
                tensor(data["mom_hs"]),
                tensor(data["mom_iq"]),
            ],
            -1,
        ),
        "kid_score": tensor(data["kid_score"]),
    },
    {"full_mass": True},  # the columns are not centred
)
