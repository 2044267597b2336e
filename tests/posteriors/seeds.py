"""Germination of seeds on 21 plates (Crowder 1978), by kind of seed and of root extract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def fixed_effects(x1: Tensor, x2: Tensor) -> Tensor:
    """Log odds but for the effect of the plate."""
    standard = dist.Normal(x1.new_zeros(()), 1.0)
    alpha0 = ppl.sample("alpha0", standard)
    alpha1 = ppl.sample("alpha1", standard)
    alpha12 = ppl.sample("alpha12", standard)
    alpha2 = ppl.sample("alpha2", standard)
    return alpha0 + alpha1 * x1 + alpha2 * x2 + alpha12 * x1 * x2


def centered(x1: Tensor, x2: Tensor, num_seeds: Tensor, germinated: Tensor) -> None:
    """Binomial regression on two factors and their product, with an effect of each plate."""
    fixed = fixed_effects(x1, x2)
    sigma = ppl.sample("sigma", dist.HalfCauchy(x1.new_ones(())))
    with ppl.plate("plates", len(x1)):
        b = ppl.sample("b", dist.Normal(x1.new_zeros(()), sigma))
        ppl.sample("germinated", dist.Binomial(num_seeds, logits=fixed + b), obs=germinated)


def noncentered(x1: Tensor, x2: Tensor, num_seeds: Tensor, germinated: Tensor) -> None:
    """Standardized effects: the same posterior without its narrow neck at small ``sigma``."""
    fixed = fixed_effects(x1, x2)
    sigma = ppl.sample("sigma", dist.HalfCauchy(x1.new_ones(())))
    with ppl.plate("plates", len(x1)):
        b = sigma * ppl.sample("standardized", dist.Normal(x1.new_zeros(()), 1.0))
        ppl.sample("germinated", dist.Binomial(num_seeds, logits=fixed + b), obs=germinated)
    ppl.deterministic("b", b)


def _prepare(data: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "x1": tensor(data["x1"]),
        "x2": tensor(data["x2"]),
        "num_seeds": tensor(data["N"]),
        "germinated": tensor(data["n"]),
    }


CENTERED = Posterior("seeds_data-seeds_stanified_model", centered, _prepare)
NONCENTERED = Posterior("seeds_data-seeds_stanified_model", noncentered, _prepare, num_samples=2000)
