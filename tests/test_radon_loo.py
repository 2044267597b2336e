"""Leave-one-out of radon in Minnesota against the exact posteriors without each house.

With known scales all is normal: draws are independent, and every term is known in closed form.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl.infer import Posterior

from .posteriors.radon import RADON

COUNTY_SCALE, HOUSE_SCALE = 2.0, 0.75  # counties learn little from each other: houses count much
LARGEST = 4  # houses in the counties that are looked at


def model(county: Tensor, x: Tensor, log_radon: Tensor) -> None:
    """A varying intercept by county, with known scales."""
    beta = ppl.sample("beta", dist.Normal(x.new_zeros(2), 10.0).to_event(1))
    with ppl.plate("counties", int(county.max()) + 1):
        alpha = ppl.sample("alpha", dist.Normal(x.new_zeros(()), COUNTY_SCALE))
    with ppl.plate("houses", len(x)):
        mean = alpha[county] + x @ beta
        ppl.sample("log_radon", dist.Normal(mean, HOUSE_SCALE), obs=log_radon)


@pytest.fixture(scope="module")
def fitted() -> tuple[Posterior, Tensor]:
    """Return draws of the posterior, and the log density of each house given all others."""
    data = RADON.arguments
    kept = data["county"].bincount()[data["county"]] <= LARGEST
    county = data["county"][kept].unique(return_inverse=True)[1]
    x, y = data["x"][kept], data["log_radon"][kept]
    design = torch.cat([x, torch.eye(int(county.max()) + 1, dtype=x.dtype)[county]], 1)
    prior = torch.tensor([10.0] * 2 + [COUNTY_SCALE] * (design.shape[1] - 2)).to(x).square()
    precision = design.T @ design / HOUSE_SCALE**2 + (1 / prior).diag()
    loc = torch.linalg.solve(precision, design.T @ y / HOUSE_SCALE**2)
    torch.manual_seed(0)
    draws = dist.MultivariateNormal(loc, precision_matrix=precision).sample((4, 1000))
    found = Posterior.from_draws(
        {"beta": draws[..., :2], "alpha": draws[..., 2:]}, model, county, x, y, are_chains=True
    )
    covariance = (design * prior) @ design.T + HOUSE_SCALE**2 * torch.eye(len(y), dtype=x.dtype)
    inverse = torch.linalg.inv(covariance)
    variance = 1 / inverse.diagonal()  # of a house given the others
    exact = dist.Normal(y - (inverse @ y) * variance, variance.sqrt()).log_prob(y)
    return found, exact


def test_moment_matching_is_within_a_standard_error_of_exact_posteriors(fitted) -> None:
    posterior, exact = fitted
    plain, moved = posterior.loo(), posterior.loo(moment_match=True)
    matched = plain.pareto_k["log_radon"] > plain.good_k
    errors = [(e.pointwise["log_radon"] - exact).abs()[matched] for e in (plain, moved)]
    assert moved.num_matched == int(matched.sum()) > 0
    assert moved.is_reliable
    assert errors[0].max() > 0.2
    assert errors[1].max() < 0.1
    assert abs(moved.elpd - exact.sum()) < moved.se


def test_without_it_all_terms_with_a_good_k_are_exact_up_to_noise(fitted) -> None:
    posterior, exact = fitted
    found = posterior.loo()
    good = found.pareto_k["log_radon"] <= found.good_k
    assert good.sum() > 0.8 * len(good)
    assert (found.pointwise["log_radon"] - exact).abs()[good].mean() < 0.02
