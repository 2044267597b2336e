"""``ppl.infer.posterior``: one call for every method, and why a method does not apply."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import (
    ArgumentTypeError,
    PPLError,
    SiteTypeError,
    UnknownPluginError,
    UnsupportedModelError,
)
from ppl.infer import MCMC, NUTS, SVI, Posterior, Trace_ELBO, posterior
from ppl.infer.autoguide import AutoDelta, AutoNormal
from ppl.infer.results import Method
from ppl.optim import Adam

Y = torch.tensor([1.0, 2.0, 0.5, 1.5])
OPTIONS = {
    "importance": {"num_samples": 20_000},
    "laplace": {"num_draws": 4000},
    "nuts": {"num_samples": 300, "warmup_steps": 150, "num_chains": 4},
    "smc": {"num_particles": 1000, "num_moves": 5},
    "svi": {"num_steps": 300, "num_draws": 4000, "lr": 0.05},
}


def model(y):
    mean = ppl.sample("mean", dist.Normal(0.0, 2.0))
    ppl.deterministic("double", 2 * mean)
    with ppl.plate("row", len(y)):
        ppl.sample("y", dist.Normal(mean, 1.0), obs=y)


def counts(y):
    rate = ppl.sample("rate", dist.Poisson(3.0))
    ppl.sample("y", dist.Normal(rate, 1.0), obs=y)


def coin(y):
    heads = ppl.sample("heads", dist.Bernoulli(0.5))
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(mean + heads, 1.0), obs=y)


def subsampled(y):
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("row", len(y), subsample_size=2) as index:
        ppl.sample("y", dist.Normal(mean, 1.0), obs=y[index])


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


@pytest.mark.parametrize("method", sorted(OPTIONS))
def test_every_method_gives_the_exact_posterior(method):
    """The tolerance is four standard errors of 600 independent draws."""
    found = posterior(model, Y, method=method, **OPTIONS[method])
    variance = 1 / (1 / 4 + 4)
    table = found.summary()["mean"]
    assert abs(table["mean"] - variance * Y.sum()) < 4 * (variance / 600) ** 0.5
    assert abs(table["std"] / variance**0.5 - 1) < 4 / (2 * 600) ** 0.5
    assert_close(found.draws["double"], 2 * found.draws["mean"])
    assert ("r_hat" in table) is (method == "nuts")
    assert found.predict(torch.zeros(2))["y"].shape == (found.num_draws, 2)
    assert abs(found.loo().elpd - found.waic().elpd) < 0.3


@pytest.mark.parametrize(
    ("program", "method", "reason"),
    [
        (counts, "nuts", "too many values to sum out"),
        (counts, "svi", "'rate' is discrete"),
        (coin, "laplace", "'heads' is discrete"),
        (coin, "smc", "'heads' is discrete"),
        (subsampled, "nuts", "'row' subsamples"),
        (lambda y: None, "nuts", "no latent site"),
    ],
)
def test_a_method_that_does_not_apply_says_why_and_which_does(program, method, reason):
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        posterior(program, torch.ones(4), method=method)
    if program in (counts, coin):
        assert "use method='importance'" in str(caught.value)


def test_a_model_that_fails_at_draws_of_its_prior_can_be_sampled():
    def fragile(y):
        mean = ppl.sample("mean", dist.Normal(0.0, 100.0))
        if abs(mean) > 3.0:
            raise ValueError("too far")
        ppl.sample("y", dist.Normal(mean, 1.0), obs=y)

    found = posterior(
        fragile,
        Y[0],
        method=lambda model, args, kwargs: Posterior.from_draws(
            {"mean": torch.zeros(1, 3)}, model, *args
        ),
    )
    assert found.num_draws == 3


def test_discrete_sites_of_few_values_are_summed_out():
    found = posterior(
        coin, torch.tensor(1.0), method="nuts", num_samples=20, warmup_steps=20, num_chains=1
    )
    assert list(found.draws) == ["mean"]


def test_unknown_methods_and_options_are_refused_with_the_nearest():
    with pytest.raises(UnknownPluginError, match="did you mean 'svi'"):
        posterior(model, Y, method="sviy")
    with pytest.raises(SiteTypeError, match="did you mean 'num_samples'"):
        posterior(model, Y, method="importance", num_sample=10)
    with pytest.raises(PPLError):
        posterior(model, Y, method="nuts", traget_accept_prob=0.9)
    with pytest.raises(ArgumentTypeError, match="method must be a name"):
        posterior(model, Y, method=3)


def test_a_method_of_a_stranger_is_a_function_or_a_record():
    def point(model, args, kwargs, at=0.0):
        return Posterior.from_draws({"mean": torch.full((1, 3), at)}, model, *args, kwargs=kwargs)

    assert posterior(model, Y, method=point, at=2.0).draws["double"].tolist() == [[4.0, 4.0, 4.0]]
    choosy = Method(point, lambda trace: "it never applies")
    with pytest.raises(UnsupportedModelError, match="it never applies"):
        posterior(model, Y, method=choosy)
    with pytest.raises(ArgumentTypeError, match="must return a Posterior"):
        posterior(model, Y, method=lambda model, args, kwargs: 3)


def test_arguments_by_name_go_to_the_model():
    found = posterior(model, kwargs={"y": Y}, method="importance", num_samples=50)
    assert found.kwargs == {"y": Y}
    assert found.predict()["y"].shape == (50, 4)


def test_runs_of_mcmc_and_guides_give_the_same_kind():
    mcmc = MCMC(NUTS(model), num_samples=50, warmup_steps=50, num_chains=2, disable_progbar=True)
    mcmc.run(Y)
    chains = mcmc.posterior()
    assert chains.shape == (2, 50)
    assert set(chains.statistics) == set(mcmc.get_extra_fields())
    assert_close(chains.get_samples(), mcmc.get_samples())
    guide = AutoNormal(model)
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(5):
        svi.step(Y)
    for found in (guide.posterior(Y, num_draws=20), svi.posterior(Y, num_draws=20)):
        assert found.shape == (1, 20)
        assert set(found.draws) == {"mean", "double"}


def test_the_verdict_on_a_run_counts_trees_that_ended_early():
    kernel = NUTS(model, max_tree_depth=1)
    mcmc = MCMC(kernel, num_samples=50, warmup_steps=50, disable_progbar=True)
    with pytest.warns(UserWarning, match="max_tree_depth"):
        mcmc.run(Y)
    assert "max_tree_depth=1" in str(mcmc.posterior().diagnose())


def test_the_draws_of_a_point_are_no_posterior():
    found = AutoDelta(model).posterior(Y, num_draws=5)
    assert "point" in str(found.diagnose())


def test_losses_are_kept():
    found = posterior(model, Y, method="svi", num_steps=30, num_draws=5)
    assert found.history["loss"].shape == (30,)
