"""Models that no tensor program can be made of, or that fail at some points, are sampled anyway."""

from __future__ import annotations

import warnings

import pytest
import torch

import ppl.distributions as dist
from ppl.errors import NotFiniteError, PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.ops import stats
from ppl.primitives import deterministic, factor, plate, sample

METHODS = ["vectorized", "sequential"]


def branching():
    """The posterior of z is normal on either side of zero, with other variances."""
    z = sample("z", dist.Normal(0.0, 1.0))
    deterministic("side", torch.tensor(1.0 if z > 0 else -1.0))
    factor("narrow", -4 * z**2 if z > 0 else 0 * z)


def fragile():
    """A matrix that is positive definite for z in (-1, 1) alone."""
    z = sample("z", dist.Normal(0.0, 1.0))
    one = torch.ones_like(z)
    matrix = torch.stack((torch.stack((one, z)), torch.stack((z, one))))
    sample("x", dist.MultivariateNormal(torch.zeros(2), matrix), obs=torch.tensor([0.2, 0.1]))


def run(kernel, **options):
    torch.manual_seed(0)
    mcmc = MCMC(kernel, disable_progbar=True, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mcmc.run()
    return mcmc, [w for w in caught if issubclass(w.category, PPLWarning)]


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_branches_on_values_is_sampled_after_one_warning_that_names_the_line(method):
    mcmc, caught = run(
        NUTS(branching), num_samples=200, warmup_steps=100, num_chains=2, chain_method=method
    )
    [slow] = [w for w in caught if "without recording" in str(w.message)]
    assert "after site 'z'" in str(slow.message)
    assert "if z > 0 else -1.0" in str(slow.message)
    assert slow.filename == __file__
    draws = mcmc.get_samples()
    assert ((draws["side"] > 0) == (draws["z"] > 0)).all()
    above = (mcmc.get_samples(group_by_chain=True)["z"] > 0).double()
    assert abs(above.mean() - 0.25) < 4 * stats.mcse_mean(above)  # about 1e-4 of false alarm
    assert draws["z"][draws["z"] > 0].max() < 1.5  # the sd is a third there


def hmc(model):
    return HMC(model, step_size=0.3, num_steps=3, adapt_step_size=False)


@pytest.mark.parametrize("kernel", [NUTS, hmc])
@pytest.mark.parametrize("method", METHODS)
def test_a_failed_factorization_is_a_divergence_and_no_error(kernel, method):
    mcmc, caught = run(
        kernel(fragile), num_samples=150, warmup_steps=30, num_chains=2, chain_method=method
    )
    draws = mcmc.get_samples()["z"]
    assert (draws.abs() < 1).all()
    assert len(draws.unique()) > 50
    num_divergences = int(mcmc.get_extra_fields()["diverging"].sum())
    assert num_divergences > 0
    assert sum(map(len, mcmc.diagnostics()["divergences"].values())) == num_divergences
    assert any(f"{num_divergences} divergent" in str(w.message) for w in caught)


def test_a_start_without_density_anywhere_is_an_error_that_names_the_site():
    def impossible():
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("x", dist.Normal(z, 1.0), obs=torch.tensor(torch.inf))

    for options in ({}, {"hook_fn": lambda *_: None}):
        with pytest.raises(NotFiniteError, match=r"\['x'\]"):
            run(NUTS(impossible), num_samples=5, warmup_steps=5, **options)


def test_a_model_with_a_sequential_plate_is_recorded():
    def model():
        mean = sample("mean", dist.Normal(0.0, 1.0))
        data = torch.tensor([1.0, 2.0, 3.0])
        for i in plate("data", 3):
            sample(f"x{i}", dist.Normal(mean, 1.0), obs=data[i])

    mcmc, caught = run(NUTS(model), num_samples=200, warmup_steps=100, num_chains=4)
    assert not any("without recording" in str(w.message) for w in caught)
    # the posterior is normal with mean 1.5 and variance 1 / 4; 800 draws are worth 200 at least
    assert abs(float(mcmc.get_samples()["mean"].mean()) - 1.5) < 4.5 * 0.5 / 200**0.5


YEARS = 1960.0 + (torch.arange(120) % 60).float()
INCOMES = 1e4 + 2e3 * torch.linspace(-2.0, 2.0, 120)[torch.arange(120) * 7 % 120]
SPENT = 0.05 * (YEARS - 1990) + 3e-4 * (INCOMES - 1e4) + 0.5 * torch.sin(torch.arange(120.0))


def regression():
    """Raw regressors, whose slopes are nearly functions of the intercept."""
    intercept = sample("intercept", dist.Normal(0.0, 1000.0))
    by_year, by_income = (sample(name, dist.Normal(0.0, 10.0)) for name in ("year", "income"))
    noise = sample("noise", dist.HalfNormal(5.0))
    with plate("rows", 120):
        mean = intercept + by_year * YEARS + by_income * INCOMES
        sample("y", dist.Normal(mean, noise), obs=SPENT)


def test_a_regression_on_raw_years_runs_with_what_its_warning_recommends():
    """In single precision; the advice names the sites and the argument, and is right."""
    options = {"num_samples": 300, "warmup_steps": 300, "num_chains": 4}
    _, caught = run(NUTS(regression, adapt="stan", max_tree_depth=6), **options)
    [advice] = [text for w in caught if "max_tree_depth" in (text := str(w.message))]
    cure = advice.partition("ended too early")[2]
    assert "year, income are nearly functions of each other" in cure
    assert "noise" not in cure
    assert "NUTS(model, full_mass=True)" in cure
    options["warmup_steps"] = 700  # the metric has to be found first
    better, _ = run(NUTS(regression, full_mass=True), **options)
    assert better.get_extra_fields()["num_steps"].double().mean() < 32
    design = torch.stack((torch.ones(120), YEARS, INCOMES), 1).double()
    fit = torch.linalg.lstsq(design, SPENT.double()).solution
    variance = (SPENT - design @ fit).square().sum() / 117
    scales = (variance * torch.linalg.inv(design.T @ design).diagonal()).sqrt()
    for name, mean, scale in zip(("intercept", "year", "income"), fit, scales, strict=True):
        draws = better.get_samples(group_by_chain=True)[name].double()
        # the priors pull by less than 1 % of a deviation; four standard errors beside it
        assert abs(draws.mean() - mean) < 4 * stats.mcse_mean(draws) + 0.05 * scale


def test_a_share_of_millions_of_trials_has_its_beta_posterior():
    """Constants of 7e7 nats do not swamp what depends on the parameter."""
    total, count = 1e7, 3e5

    def trials():
        share = sample("share", dist.Uniform(0.0, 1.0))
        sample("y", dist.Binomial(torch.tensor(total), share), obs=torch.tensor(count))

    mcmc, _ = run(NUTS(trials), num_samples=300, warmup_steps=300, num_chains=4)
    draws = mcmc.get_samples(group_by_chain=True)["share"].double()
    exact = torch.distributions.Beta(torch.tensor(count + 1.0), torch.tensor(total - count + 1.0))
    scale = float(exact.stddev)
    assert abs(draws.mean() - exact.mean.double()) < 4 * stats.mcse_mean(draws) + 0.05 * scale
    assert abs(draws.std() / scale - 1) < 0.15
    assert mcmc.get_extra_fields()["num_steps"].double().mean() < 10
