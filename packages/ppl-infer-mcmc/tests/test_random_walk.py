"""Random walk Metropolis: invariance, adaptation, and errors."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ArgumentError, NotRunError, PPLWarning
from ppl.infer.mcmc import MCMC, RandomWalkKernel
from ppl.ops import stats
from ppl.primitives import deterministic, factor, sample


def model():
    x = sample("x", dist.Gamma(torch.tensor(4.0).double(), 2.0))
    deterministic("twice", 2 * x)


def run(kernel, num_samples, warmup_steps, **options):
    torch.manual_seed(0)
    mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)  # it mixes slowly
        mcmc.run()
    return mcmc


def test_the_draws_have_the_moments_of_the_posterior():
    mcmc = run(RandomWalkKernel(model, target_accept_prob=0.4), 2000, 300, num_chains=2)
    draws = mcmc.get_samples(group_by_chain=True)
    assert_close(draws["twice"], 2 * draws["x"])
    for power, truth in ((1, 2.0), (2, 5.0)):
        x = draws["x"] ** power
        assert abs(x.mean() - truth) < 4 * stats.mcse_mean(x)  # about 1e-4 of false alarm


@pytest.mark.parametrize("target", [0.234, 0.6])
@pytest.mark.parametrize("init_step_size", [0.01, 20.0])
def test_warm_up_finds_the_acceptance_probability_and_then_keeps_the_step(target, init_step_size):
    steps = []
    kernel = RandomWalkKernel(model, init_step_size, target)
    mcmc = run(kernel, 600, 600, hook_fn=lambda kernel, *_: steps.append(kernel.step_size))
    assert abs(mcmc.diagnostics()["acceptance rate"]["chain 0"] - target) < 0.1
    assert len(set(steps[:600])) == 600
    assert len(set(steps[600:])) == 1
    assert set(kernel.logging()) == {"step size", "acc. prob"}


def test_without_warm_up_the_step_is_the_given_one():
    kernel = RandomWalkKernel(model, 0.3)
    run(kernel, 20, 0)
    assert kernel.step_size == pytest.approx(0.3)


def test_a_proposal_without_density_is_refused():
    def half():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("half", torch.where(z > 0, 0.0, torch.nan))

    assert (run(RandomWalkKernel(half, 3.0), 50, 0).get_samples()["z"] > 0).all()


def test_it_goes_on_from_whatever_values_it_is_given():
    kernel = RandomWalkKernel(model, 1e-6)
    kernel.setup(0)
    assert_close(kernel.sample({"x": torch.tensor(1.5).double()})["x"], torch.tensor(1.5).double(),
                 rtol=0, atol=1e-4)  # fmt: skip


def test_it_starts_where_initial_params_say():
    start = {"x": torch.tensor([-1.0, 1.0]).double()}
    mcmc = run(RandomWalkKernel(model, 1e-6), 1, 0, initial_params=start, num_chains=2)
    assert_close(mcmc.get_samples()["x"], start["x"].exp(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomWalkKernel(model, init_step_size=0.0),
        lambda: RandomWalkKernel(model, target_accept_prob=1.0),
        lambda: RandomWalkKernel(model).sample({}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make):
    with pytest.raises((ArgumentError, NotRunError)):
        make()
