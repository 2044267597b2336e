"""Leave-one-out and WAIC against ArviZ and against exact posteriors."""

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, SiteError, UnsupportedModelError
from ppl.infer import Importance, Posterior
from ppl.infer.results import elpd

from .schools import exact_normal, normal

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ArviZ announces its next version
    import arviz


def exact_terms(y):
    """Return the log density of each observation given the others."""
    terms = []
    for i in range(len(y)):
        _, loc, variance = exact_normal(torch.cat([y[:i], y[i + 1 :]]), 1)
        terms.append(dist.Normal(loc, (1 + variance) ** 0.5).log_prob(y[i]))
    return torch.stack(terms)


def outlying(size=30, outlier=25.0):
    torch.manual_seed(0)
    y = torch.randn(size, dtype=torch.double)
    y[0] = outlier
    return y


def of_normal(y, num_draws=500):
    torch.manual_seed(1)
    draws, _, _ = exact_normal(y, num_draws)
    return Posterior.from_draws({"mean": draws}, normal, y, are_chains=True)


@pytest.fixture(scope="module")
def autocorrelated():
    """Chains whose draws are worth less than their number."""
    torch.manual_seed(2)
    noise = torch.randn(4, 800, dtype=torch.double)
    draws = torch.zeros(4, 800, dtype=torch.double)
    for i in range(1, 800):
        draws[:, i] = 0.7 * draws[:, i - 1] + 0.3 * noise[:, i]
    y = outlying(20, 2.5)
    return Posterior.from_draws({"mean": draws}, normal, y, are_chains=True)


# against ArviZ


@pytest.mark.filterwarnings("ignore")
def test_loo_is_that_of_arviz(autocorrelated):
    ours, theirs = autocorrelated.loo(), arviz.loo(autocorrelated.to_arviz(), pointwise=True)
    assert elpd.relative_efficiency(autocorrelated.draws) < 0.5
    assert_close(ours.elpd, float(theirs.elpd_loo), rtol=0.0, atol=1e-6)
    assert_close(ours.se, float(theirs.se), rtol=0.0, atol=1e-6)
    assert_close(ours.p, float(theirs.p_loo), rtol=0.0, atol=1e-6)
    assert_close(ours.pareto_k["y"], torch.tensor(theirs.pareto_k.values), rtol=0, atol=1e-6)
    assert ours.good_k == theirs.good_k


@pytest.mark.filterwarnings("ignore")
def test_waic_is_that_of_arviz(autocorrelated):
    ours, theirs = autocorrelated.waic(), arviz.waic(autocorrelated.to_arviz(), pointwise=True)
    assert_close(ours.elpd, float(theirs.elpd_waic), rtol=0.0, atol=1e-6)
    assert_close(ours.p, float(theirs.p_waic), rtol=0.0, atol=1e-6)
    assert_close(ours.pointwise["y"], torch.tensor(theirs.waic_i.values), rtol=0, atol=1e-6)


# against exact posteriors


def test_loo_is_exact_up_to_noise_where_k_is_good():
    y = outlying(30, 1.0)
    found = of_normal(y).loo()
    assert found.is_reliable
    assert_close(found.pointwise["y"], exact_terms(y), rtol=0.0, atol=0.03)


def test_moment_matching_mends_what_an_outlier_spoils():
    y = outlying()
    posterior, exact = of_normal(y), exact_terms(y)
    plain, moved = posterior.loo(), posterior.loo(moment_match=True)
    assert not plain.is_reliable
    assert moved.is_reliable
    assert moved.num_matched == 1
    assert abs(plain.pointwise["y"][0] - exact[0]) > 0.5
    assert abs(moved.pointwise["y"][0] - exact[0]) < 0.1
    assert_close(moved.pointwise["y"][1:], plain.pointwise["y"][1:])


def regression(x, y):
    """Several correlated sites, one of them positive."""
    zero = torch.zeros(2, dtype=x.dtype)
    slope = ppl.sample("slope", dist.Normal(zero, 10.0).to_event(1))
    noise = ppl.sample("noise", dist.LogNormal(zero[0], 0.5))
    with ppl.plate("row", len(x)):
        ppl.sample("y", dist.Normal(x @ slope, noise), obs=y)


def test_moment_matching_in_several_dimensions_agrees_with_importance_sampling():
    """The reference is a long run of importance sampling without the observation."""
    ppl.set_rng_seed(0)
    x = torch.stack([torch.ones(12), torch.linspace(0, 3, 12)], -1)
    y = x @ torch.tensor([1.0, 2.0]) + 0.5 * torch.randn(12)
    y[-1] += 5.0

    def guide(x, y):
        noise = ppl.sample("noise", dist.LogNormal(0.3, 0.4))
        gram = torch.linalg.inv(x.T @ x)
        loc = gram @ x.T @ y
        scale = (1.3 * noise**2 * gram) if noise.dim() == 0 else gram
        ppl.sample("slope", dist.MultivariateNormal(loc, scale))

    full = Importance(regression, guide, 20_000).run(x, y).posterior()
    draws = full.resampled(2000).draws
    found = Posterior.from_draws(draws, regression, x, y)
    rest = Importance(regression, guide, 20_000).run(x[:-1], y[:-1]).posterior()
    scored = Posterior.from_draws(
        rest.draws, regression, x, y, log_weights=rest.log_weights
    ).log_likelihood()["y"][:, -1]
    exact = (scored + rest.log_weights.flatten()).logsumexp(0).item()
    plain, moved = found.loo(), found.loo(moment_match=True)
    assert plain.pareto_k["y"][-1] > plain.good_k
    assert moved.pareto_k["y"][-1] < moved.good_k
    assert abs(moved.pointwise["y"][-1] - exact) < 0.25
    assert abs(moved.pointwise["y"][-1] - exact) < abs(plain.pointwise["y"][-1] - exact)


def test_the_weights_of_importance_sampling_count():
    ppl.set_rng_seed(0)
    y = torch.tensor([0.5, 1.0, -0.5, 0.2], dtype=torch.double)
    found = Importance(normal, num_samples=20_000).run(y).posterior().loo()
    assert_close(found.pointwise["y"], exact_terms(y), rtol=0.0, atol=0.05)


def test_the_ratios_of_a_guide_correct_its_draws():
    torch.manual_seed(0)
    y = torch.tensor([0.5, 1.0, -0.5, 0.2], dtype=torch.double)
    _, loc, variance = exact_normal(y, 1)
    wide = dist.Normal(loc, 1.5 * variance**0.5)
    draws = wide.sample((1, 10_000))
    ratio = dist.Normal(loc, variance**0.5).log_prob(draws) - wide.log_prob(draws)
    found = Posterior.from_draws({"mean": draws}, normal, y, statistics={"log_ratio": ratio})
    assert_close(found.loo().pointwise["y"], exact_terms(y), rtol=0.0, atol=0.05)


# what it says


def test_models_are_compared_observation_by_observation():
    y = outlying(30, 1.0)
    one = of_normal(y).loo()
    other = of_normal(y + 3.0).loo()
    difference = one - other
    assert_close(difference.elpd, one.elpd - other.elpd)
    assert difference.se < one.se
    assert (one - one) == (0.0, 0.0)


def test_other_observations_are_no_comparison():
    with pytest.raises(ArgumentError, match="same observations"):
        of_normal(outlying(10)).waic() - of_normal(outlying(12)).waic()


def test_it_says_what_to_do_next():
    posterior = of_normal(outlying())
    assert "moment_match=True" in str(posterior.loo())
    assert "posterior.loo()" in str(posterior.waic())
    assert "All 30 estimates are good" in str(posterior.loo(moment_match=True))


def test_all_observed_sites_count():
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        ppl.sample("a", dist.Normal(mean, 1.0), obs=torch.tensor(0.3))
        with ppl.plate("row", 3):
            ppl.sample("b", dist.Normal(mean, 1.0), obs=torch.zeros(3))

    torch.manual_seed(0)
    found = Posterior.from_draws({"mean": torch.randn(1, 500)}, model).loo()
    assert {name: x.numel() for name, x in found.pointwise.items()} == {"a": 1, "b": 3}


def test_weighted_draws_are_not_moved():
    ppl.set_rng_seed(0)
    found = Importance(normal, num_samples=500).run(outlying(5, 40.0)).posterior()
    with pytest.raises(UnsupportedModelError, match="weights"):
        found.loo(moment_match=True)


def mixture(y):
    weight = ppl.sample("weight", dist.Beta(2.0, 2.0))
    with ppl.plate("row", len(y)):
        high = ppl.sample("high", dist.Bernoulli(weight))
        ppl.sample("y", dist.Normal(4.0 * high, 0.5), obs=y)


def test_discrete_sites_that_were_summed_out_are_so_in_scores():
    torch.manual_seed(0)
    y = torch.tensor([0.1, 4.2, -0.3, 3.9, 0.4])
    draws = dist.Beta(4.0, 5.0).sample((1, 4000))  # as good as exact: the kinds are certain
    found = Posterior.from_draws({"weight": draws}, mixture, y).loo()
    is_high = y > 2
    counts = torch.where(is_high, 2 + 1, 2 + 2) / 8  # of Beta(2, 2) and the four others
    exact = counts.log() + dist.Normal(4.0 * is_high, 0.5).log_prob(y)
    assert_close(found.pointwise["y"], exact.double(), rtol=0.0, atol=0.05)
    outlier = y.clone()
    outlier[0] = 50.0
    whole = Posterior.from_draws({"weight": draws[:, :3]}, mixture, outlier)
    with pytest.raises(SiteError, match="summed out"):
        whole.loo(moment_match=True)


def test_nothing_observed_is_nothing_to_score():
    found = Posterior.from_draws(
        {"x": torch.zeros(1, 5)}, lambda: ppl.sample("x", dist.Normal(0.0, 1.0))
    )
    with pytest.raises(SiteError, match="observed"):
        found.loo()
