"""What draws of a guide say about its distance from the posterior."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, NotFiniteError, SiteError
from ppl.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoLaplaceApproximation,
    AutoNormal,
    AutoNormalMessenger,
    diagnose,
    init_to_value,
)

DATA = torch.tensor([1.0, 2.0, 4.0])


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(data=DATA, subsample_size=None):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", len(data), subsample_size=subsample_size) as rows:
        ppl.sample("y", dist.Normal(mu, 1.0), obs=data[rows])


EVIDENCE = dist.MultivariateNormal(torch.zeros(3), torch.ones(3, 3) + torch.eye(3)).log_prob(DATA)
START = init_to_value(values={"mu": DATA.sum() / 4})


def normal(scale, family=AutoNormal):
    return family(model, init_loc_fn=START, init_scale=scale)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("family", [AutoNormal, AutoDiagonalNormal, AutoNormalMessenger])
def test_the_exact_posterior_has_the_evidence_without_error(family, parallel):
    found = normal(0.5, family).diagnose(model, num_draws=200, parallel=parallel)
    assert found.elbo == pytest.approx(EVIDENCE.item(), abs=1e-4)
    assert found.elbo_error < 1e-5
    assert found.effective_draws == pytest.approx(200, rel=1e-3)
    assert found.divergence == pytest.approx(0.0, abs=1e-4)
    assert found.is_reliable


@pytest.mark.parametrize(("scale", "is_good"), [(0.6, True), (0.45, True), (0.1, False)])
def test_a_guide_is_good_if_its_tails_reach_those_of_the_posterior(scale, is_good):
    guide = normal(scale)
    found = guide.diagnose(model, num_draws=2000, parallel=True)
    assert found.is_reliable == is_good
    exact = EVIDENCE - (math.log(0.5 / scale) + (scale / 0.5) ** 2 / 2 - 0.5)
    assert abs(found.elbo - exact.item()) < 4.5 * found.elbo_error
    assert ("good" if is_good else "missed") in str(found)


def test_draws_in_a_plate_are_those_of_single_runs():
    guide = normal(0.6)
    together = guide.diagnose(model, num_draws=4000, parallel=True)
    singles = guide.diagnose(model, num_draws=500)
    error = math.hypot(together.elbo_error, singles.elbo_error)
    assert abs(together.elbo - singles.elbo) < 4.5 * error
    assert_close(
        torch.tensor(together.elbo_error * math.sqrt(4000)),
        torch.tensor(singles.elbo_error * math.sqrt(500)),
        rtol=0.2,
        atol=0,
    )


@pytest.mark.parametrize("parallel", [False, True])
def test_what_cannot_be_judged_is_refused(parallel):
    options = {"num_draws": 10, "parallel": parallel}
    with pytest.raises(ArgumentError, match="'rows' is a subsample of 2 of 3"):
        AutoNormal(model).diagnose(model, DATA, 2, **options)
    for point in (AutoDelta, AutoLaplaceApproximation):
        with pytest.raises(ArgumentError, match="is a point"):
            point(model).diagnose(model, **options)
    with pytest.raises(SiteError, match="'mu'.* not in the guide"):
        diagnose(model, lambda: ppl.sample("other", dist.Normal(0.0, 1.0)), **options)
    with pytest.raises(SiteError, match="num_draws"):
        AutoNormal(model).diagnose(model, num_draws=1)


def test_a_density_that_is_nan_is_refused():
    def broken():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        ppl.factor("nan", mu * math.nan)

    with (
        ppl.validation_enabled(False),
        pytest.raises(NotFiniteError, match="10 of 10 log weights are nan"),
    ):
        AutoNormal(broken).diagnose(broken, num_draws=10)
