"""Tempered sequential Monte Carlo against posteriors in closed form."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import NotFiniteError, NotRunError, SiteError, UnsupportedModelError
from ppl.infer import SMC

N = 4000
Y = torch.tensor([2.1, 1.7, 2.6, 2.0])
COUNTS = torch.tensor([3.0, 5.0, 2.0, 7.0])


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)
    with ppl.get_param_store().scope():
        yield


def normal():
    z = ppl.sample("z", dist.Normal(0.0, 10.0))
    with ppl.plate("data", 4):
        ppl.sample("y", dist.Normal(z, 0.2), obs=Y)
    return 2 * z


def gamma():
    rate = ppl.sample("rate", dist.Gamma(2.0, 0.1))
    with ppl.plate("data", 4):
        ppl.sample("n", dist.Poisson(rate), obs=COUNTS)


def correlated():
    x = ppl.sample("x", dist.Normal(torch.zeros(3), 5.0).to_event(1))
    ppl.sample("sum", dist.Normal(x.sum(-1), 0.1), obs=torch.tensor(1.0))
    ppl.sample("first", dist.Normal(x[..., 0], 0.5), obs=torch.tensor(2.0))


def test_evidence_mean_and_variance_of_a_normal_posterior():
    variance = 1 / (1 / 100 + 4 / 0.04)
    mean = variance * Y.sum() / 0.04
    zero = torch.tensor(0.0)
    joint = dist.Normal(0.0, 10.0).log_prob(zero) + dist.Normal(0.0, 0.2).log_prob(Y).sum()
    evidence = joint - dist.Normal(mean, variance**0.5).log_prob(zero)
    smc = SMC(normal, N).run()
    steps = len(smc.temperatures) - 1
    # each power adds a relative variance of 1 / N at the threshold 0.5; five deviations
    assert abs(smc.log_evidence - evidence) < 5 * (steps / N) ** 0.5
    z = smc.marginal("z").empirical["z"]
    assert abs(z.mean - mean) < 5 * (variance / (N / 10)) ** 0.5
    assert abs(z.variance / variance - 1) < 5 * (2 / (N / 10)) ** 0.5
    assert_close(smc.marginal().empirical["_RETURN"].mean, 2 * z.mean)


def test_a_positive_site_is_moved_on_the_whole_line():
    posterior = dist.Gamma(2.0 + COUNTS.sum(), 0.1 + 4.0)
    smc = SMC(gamma, N).run()
    rate = smc.marginal("rate").empirical["rate"]
    assert abs(rate.mean - posterior.mean) < 5 * (posterior.variance / (N / 10)) ** 0.5
    assert abs(rate.variance / posterior.variance - 1) < 5 * (2 / (N / 10)) ** 0.5


def test_directions_of_very_different_widths_are_explored():
    smc = SMC(correlated, N, num_moves=20).run()
    x = smc.marginal("x").empirical["x"].enumerate_support()
    precision = torch.full((3, 3), 100.0) + torch.eye(3) / 25
    precision[0, 0] += 4.0
    covariance = precision.inverse()
    mean = covariance @ torch.tensor([108.0, 100.0, 100.0])
    error = (covariance.diagonal() / (N / 20)) ** 0.5
    assert ((x.mean(0) - mean).abs() < 5 * error).all()
    assert (x.var(0) / covariance.diagonal() - 1).abs().max() < 5 * (2 / (N / 20)) ** 0.5


def test_modes_keep_their_weights():
    def modes():
        z = ppl.sample("z", dist.Normal(1.0, 10.0))
        ppl.sample("y", dist.Normal(z.abs(), 0.3), obs=torch.tensor(8.0))

    z = SMC(modes, N).run().marginal("z").empirical["z"].enumerate_support()
    ratio = math.exp((81 - 49) / 200)  # of the prior densities at 8 and -8
    share = ratio / (1 + ratio)
    # lineages of a mode do not mix with the other: the noise of each resampling adds up
    assert abs((z > 0).double().mean() - share) < 5 * (20 * share * (1 - share) / N) ** 0.5


def test_powers_grow_from_zero_to_one():
    smc = SMC(normal, 500).run()
    powers = torch.tensor(smc.temperatures)
    assert powers[0] == 0 and powers[-1] == 1 and (powers.diff() > 0).all()
    assert len(smc.acceptance_rates) == len(powers) - 1
    assert 0.1 < smc.acceptance_rates[-1] < 0.6


def test_traces_are_those_of_the_model_at_the_particles():
    smc = SMC(normal, 50).run()
    trace = smc.exec_traces[3]
    assert_close(trace.nodes["z"]["value"], smc.marginal("z").support()["z"][3])
    assert trace.nodes["y"]["is_observed"] and smc.information_criterion()["p_waic"] > 0


@pytest.mark.parametrize(
    "fn, message",
    [(dist.Bernoulli(0.5), "site 'z'.*discrete"), (dist.Poisson(1.0), "site 'z'.*discrete")],
)
def test_a_discrete_site_is_refused(fn, message):
    with pytest.raises(UnsupportedModelError, match=message):
        SMC(lambda: ppl.sample("z", fn)).run()


def test_what_cannot_run_at_once_is_refused():
    def branching():
        if ppl.sample("z", dist.Normal(0.0, 1.0)) > 0:
            ppl.factor("f", torch.tensor(1.0))

    with pytest.raises(UnsupportedModelError, match=r"torch.func.vmap, which the model does not"):
        SMC(branching, 10).run()


def test_a_subsample_and_a_model_without_latent_sites_are_refused():
    def subsampled():
        with ppl.plate("data", 4, subsample_size=2):
            ppl.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(UnsupportedModelError, match="plate 'data' subsamples"):
        SMC(subsampled).run()
    with pytest.raises(UnsupportedModelError, match="the model has none"):
        SMC(lambda: None).run()


def test_impossible_observations_are_refused():
    def impossible():
        ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.factor("f", torch.tensor(-math.inf))

    with pytest.raises(NotFiniteError, match="impossible at every draw of the prior"):
        SMC(impossible, 10).run()


def test_evidence_comes_after_the_run_and_arguments_are_checked():
    with pytest.raises(NotRunError, match="call run"):
        SMC(normal).log_evidence  # noqa: B018
    for threshold in (0.0, 1.0, math.nan):
        with pytest.raises(SiteError, match="ess_threshold"):
            SMC(normal, ess_threshold=threshold)
