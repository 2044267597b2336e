"""Power-scaling sensitivity against ArviZ, and where the answer is known."""

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import MissingSiteError, SiteError
from ppl.infer import Posterior
from ppl.infer.results.sensitivity import CONFLICT, STRONG, log_densities

from .schools import EFFECTS, ERRORS, exact_normal, normal, schools

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ArviZ announces its next version
    import arviz


def of_normal(y, prior_scale):
    torch.manual_seed(0)
    draws, _, _ = exact_normal(y, 1000, prior_scale)
    return Posterior.from_draws({"mean": draws}, normal, y, prior_scale, are_chains=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("component", ["prior", "likelihood"])
def test_it_is_that_of_arviz(component):
    posterior = of_normal(torch.tensor([1.0, 2.0, 0.0], dtype=torch.double), 1.0)
    tree = posterior.to_arviz()
    log_prior = log_densities(posterior, ["mean"])["prior"].reshape(4, 1000).numpy()
    tree.add_groups({"log_prior": {"mean": log_prior}})
    theirs = arviz.psens(tree, component=component)["mean"].item()
    assert_close(posterior.sensitivity()["mean"][component].item(), theirs, rtol=1e-6, atol=0.0)


def test_a_flat_prior_does_not_matter():
    found = of_normal(torch.zeros(20, dtype=torch.double), 1000.0).sensitivity()
    assert found["mean"]["prior"] < 0.01
    assert found["mean"]["likelihood"] > 0.05
    assert found.findings == {}
    assert "No prior matters much" in str(found)


def test_a_prior_far_from_the_data_is_found():
    found = of_normal(torch.full((2,), 8.0, dtype=torch.double), 1.0).sensitivity()
    assert found.findings == {"mean": CONFLICT}


def test_data_that_say_nothing_leave_the_prior():
    def model():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(x, 100.0), obs=torch.tensor(0.0))

    torch.manual_seed(0)
    found = Posterior.from_draws({"x": torch.randn(4, 500)}, model).sensitivity()
    assert found.findings == {"x": STRONG}


def test_only_priors_that_depend_on_no_other_site_are_scaled():
    torch.manual_seed(0)
    draws = {"mu": torch.randn(1, 50), "tau": torch.rand(1, 50), "z": torch.randn(1, 50, 8)}
    posterior = Posterior.from_draws(draws, schools, ERRORS, EFFECTS)
    some = posterior.sensitivity(prior=["mu", "tau", "z"])
    assert_close(posterior.sensitivity()["mu"]["prior"], some["mu"]["prior"])
    other = posterior.sensitivity(prior=["mu"])
    assert bool(other["tau"]["prior"] != some["tau"]["prior"])


def test_what_is_constant_is_not_sensitive():
    posterior = of_normal(torch.zeros(2, dtype=torch.double), 1.0)
    posterior.draws["fixed"] = torch.ones(4, 1000, 2)
    assert_close(posterior.sensitivity()["fixed"]["prior"], torch.zeros(2, dtype=torch.double))


def test_an_unknown_site_is_refused():
    posterior = of_normal(torch.zeros(2, dtype=torch.double), 1.0)
    with pytest.raises(MissingSiteError, match="did you mean 'mean'"):
        posterior.sensitivity(prior=["meen"])


def test_a_site_that_was_summed_out_has_no_density():
    def mixture():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        high = ppl.sample("high", dist.Bernoulli(0.5))
        ppl.sample("x", dist.Normal(mean + high, 1.0), obs=torch.tensor(0.0))

    found = Posterior.from_draws({"mean": torch.randn(1, 20)}, mixture)
    with pytest.raises(SiteError, match="summed out"):
        found.sensitivity()
