"""What warm-up does: windows, step size, metric."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from ppl.infer.mcmc.adaptation import dual_averaging, welford
from ppl.infer.mcmc.adaptation.step_size import reasonable_step_size
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.adaptation.windows import doubling, overlapping, windows
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.sampler import Sampler
from ppl.infer.mcmc.transition import metric
from ppl.infer.mcmc.transition.hmc_transition import FixedLength
from ppl.infer.mcmc.transition.integrator import Point, leapfrog
from ppl.infer.mcmc.transition.machine import energy_error
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn

from .targets import ALL, CORRELATED, COVARIANCE, HEAVY, SKEWED, generator, normal


def test_a_thousand_iterations_have_the_documented_windows():
    assert windows(1000) == (75, (100, 150, 250, 450, 950))


@pytest.mark.parametrize("num_warmup", [20, 37, 100, 149, 150, 151, 160, 500, 1000, 2000, 10_000])
def test_windows_grow_and_end_before_the_final_phase(num_warmup):
    start, ends = windows(num_warmup)
    lengths = torch.tensor([start, *ends]).diff()
    final = num_warmup - ends[-1]
    assert final == (50 if num_warmup >= 150 else int(0.1 * num_warmup))
    assert start == (75 if num_warmup >= 150 else int(0.15 * num_warmup))
    assert (lengths > 0).all()
    inner = lengths[:-1]
    assert (inner[1:] == 2 * inner[:-1]).all()


@pytest.mark.parametrize("num_warmup", [20, 30, 31, 100, 1000])
def test_many_chains_have_more_windows_and_a_shorter_end(num_warmup):
    start, ends = windows(num_warmup, cross_chain_adaptation=True)
    assert start <= 5
    assert ends[0] <= windows(num_warmup).ends[0]
    assert num_warmup - ends[-1] <= 20
    assert list(ends) == sorted(set(ends))


@pytest.mark.parametrize("num_warmup", [20, 37, 100, 150, 1000, 10_000])
def test_windows_of_gradients_begin_at_once_grow_and_leave_time_to_settle(num_warmup):
    switches, restarts = overlapping(num_warmup)
    lengths = torch.tensor([0, *switches]).diff()
    assert lengths[0] == 10
    assert (lengths.diff() > 0).all()
    assert restarts == (num_warmup - max(int(0.15 * num_warmup), min(50, num_warmup // 3)),)
    assert switches[-1] < restarts[0]
    start, ends = doubling(num_warmup)
    lengths = torch.tensor([start, *ends]).diff()
    assert start == 0
    assert ends[-1] == restarts[0]
    assert (lengths[1:-1] == 2 * lengths[:-2]).all()


def test_a_very_short_warmup_has_no_windows():
    assert overlapping(19) == ((), ())
    assert doubling(19).ends == ()
    assert windows(19).ends == ()
    assert Warmup(1000, adapt_mass_matrix=False).window_ends == ()


def test_dual_averaging_finds_the_step_of_a_known_acceptance_curve():
    def accept_prob(step_size):
        return torch.exp(-step_size)  # 0.8 at log(1.25)

    average = dual_averaging.begin(torch.tensor([0.01, 1.0, 30.0], dtype=torch.float64))
    for _ in range(3000):
        average = dual_averaging.update(average, accept_prob(average.log_step.exp()), 0.8)
    expected = torch.full((3,), 1.25, dtype=torch.float64).log()
    assert_close(average.log_step_mean.exp(), expected, rtol=0.05, atol=0.0)


@pytest.mark.parametrize("dense", [False, True])
def test_pooled_moments_are_those_of_all_draws(dense):
    draws = torch.randn(4, 50, 3, generator=generator(0), dtype=torch.float64).cumsum(-1)
    draws += torch.arange(4.0)[:, None, None]
    alone = welford.begin(draws[:, 0], dense)
    for draw in draws.unbind(1):
        alone = welford.update(alone, draw)
    cross_chain_adaptation = welford.covariance(welford.cross_chain_adaptation(alone))
    expected = draws.flatten(0, 1).mT.cov()
    assert_close(
        cross_chain_adaptation,
        (expected if dense else expected.diagonal()).expand_as(cross_chain_adaptation),
    )


@pytest.mark.parametrize("dense", [False, True])
def test_running_moments_are_the_moments(dense):
    draws = torch.randn(4, 50, 3, generator=generator(0), dtype=torch.float64).cumsum(-1)
    moments = welford.begin(draws[:, 0], dense)
    for draw in draws.unbind(1):
        moments = welford.update(moments, draw)
    covariance = torch.stack([x.mT.cov() for x in draws])
    expected = covariance if dense else covariance.diagonal(dim1=-2, dim2=-1)
    assert_close(moments.mean, draws.mean(1))
    assert_close(welford.covariance(moments), expected)
    before = 7.0 * torch.eye(3, dtype=torch.float64)
    before = before if dense else before.diagonal()
    shrunk = 50 / 55 * expected + 1e-3 * 5 / 55 * before
    assert_close(welford.shrunk_covariance(moments, before), shrunk)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_first_step_size_is_within_a_factor_of_two_of_acceptance_eighty_percent(scale):
    target = normal(3)

    def potential_and_grad(z):
        potential, gradient = target.potential_and_grad(z / scale)
        return potential, gradient / scale

    position = scale * target.draw(8, generator(0))
    unit = metric.identity(position)
    momentum = torch.randn(8, 3, generator=generator(1), dtype=torch.float64)
    potential, gradient = potential_and_grad(position)
    point = Point(position, momentum, gradient)
    energy = potential + metric.kinetic_energy(unit, momentum)
    searching = torch.arange(8) != 5
    first = torch.ones(8, dtype=torch.float64)
    found = reasonable_step_size(potential_and_grad, unit, point, energy, first, searching)

    def accept_prob(step_size):
        end, after = leapfrog(potential_and_grad, unit, point, step_size)
        return (-energy_error(after + metric.kinetic_energy(unit, end.momentum), energy)).exp()

    low, high = accept_prob(found / 2) > 0.8, accept_prob(found * 2) > 0.8
    here = accept_prob(found) > 0.8
    assert ((here != low) | (here != high))[searching].all()
    assert found[5] == 1.0


def warmed_up(machine, warmup, target, chains=64, num_draws=20):
    position = target.draw(chains, generator(3))
    run = Chains(Sampler(machine, warmup, num_draws), position, 1.0, seeds=range(chains))
    run.run()
    return run


@pytest.mark.parametrize("wanted", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("kind", [NoUTurn, lambda f: FixedLength(f, 1.5)], ids=["nuts", "hmc"])
def test_the_mean_acceptance_during_adaptation_is_the_one_aimed_at(kind, wanted):
    target = normal(5)
    warmup = Warmup(150, target_accept_prob=wanted, adapt_mass_matrix=False)
    run = warmed_up(kind(target.potential_and_grad), warmup, target, num_draws=1)
    # the pull to ten times the first step leaves 0.05 * log(10) / sqrt(150) = 0.01; the standard
    # error of 150 iterations of 64 chains is below 0.004
    assert abs(float(run.state.adaptation.average.error_mean.mean())) < 0.03


TOLERANCE = 0.04  # of mean acceptance; the average of steps that fluctuate is 0.02 too careful


@pytest.mark.parametrize(
    ("target", "adapt", "wanted"),
    [
        (normal(5), "diag", 0.6),
        (normal(20), "stan", 0.8),
        (HEAVY, "diag", 0.8),
        (SKEWED, "diag", 0.9),
    ],
    ids=str,
)
def test_draws_accept_what_warmup_aimed_at(target, adapt, wanted):
    warmup = Warmup(150, target_accept_prob=wanted, adapt=adapt)
    run = warmed_up(NoUTurn(target.potential_and_grad), warmup, target)
    reached = float(run.record.field("accept_prob").mean())
    # step sizes of 64 chains and 20 draws each: standard errors below 0.01
    assert abs(reached - wanted) < TOLERANCE


def test_a_search_settles_at_the_target_from_steps_that_are_off_by_a_factor_of_two():
    """Simulated: acceptance bends as for normals (Neal 2011) and has a beta distribution."""
    normal = torch.distributions.Normal(0.0, 1.0)

    def accept_prob(log_step):  # 0.8 at 0
        return 2 * normal.cdf(-0.2533 * (2 * log_step).exp())

    torch.manual_seed(0)
    for factor in (0.5, 1.0, 2.0):
        average = dual_averaging.settle(torch.full((4000,), factor))
        for _ in range(100):
            mean = accept_prob(average.log_step).clamp(1e-3, 1 - 1e-3)
            noisy = torch.distributions.Beta(6 * mean, 6 * (1 - mean)).sample()
            average = dual_averaging.update(average, noisy, 0.8)
        assert abs(float(accept_prob(average.log_step_mean).mean()) - 0.8) < 0.02


def test_the_metric_of_a_chain_alone_follows_each_draw_and_is_exact_for_independent_normals():
    start = 2 * torch.rand(2, 5, generator=generator(0), dtype=torch.float64) - 1
    run = Chains(Sampler(NoUTurn(stretched), Warmup(60, adapt="diag"), 5), start, 1.0, range(2))
    run.run(num_iterations=4)
    assert_close(run.state.tuning.metric.inverse, (SCALES**2).expand(2, 5), rtol=1e-6, atol=0.0)
    run.run()
    assert_close(run.state.tuning.metric.inverse, (SCALES**2).expand(2, 5), rtol=1e-6, atol=0.0)


def test_a_metric_that_was_given_stays_until_many_draws_tell_of_another():
    start = torch.randn(2, 5, generator=generator(0), dtype=torch.float64)
    given = torch.full((2, 5), 0.1, dtype=torch.float64)
    warmup = Warmup(40, adapt="diag", inverse_mass=given)
    run = Chains(Sampler(NoUTurn(normal(5).potential_and_grad), warmup, 1), start, 1.0, range(2))
    run.run()
    assert torch.equal(run.state.tuning.metric.inverse, given)


@pytest.mark.parametrize("full_mass", [False, True])
def test_warmup_finds_the_covariance(full_mass):
    machine = NoUTurn(CORRELATED.potential_and_grad)
    run = warmed_up(machine, Warmup(300, full_mass=full_mass), CORRELATED, num_draws=1)
    inverse = run.state.tuning.metric.inverse.mean(0)
    expected = 150 / 155 * (COVARIANCE if full_mass else COVARIANCE.diagonal())  # shrunk
    # 150 autocorrelated draws in the last window of 64 chains: standard errors of about 2 %
    assert_close(inverse, expected, rtol=0.1, atol=0.0)


def test_what_is_switched_off_does_not_adapt():
    target = ALL[3]
    warmup = Warmup(100, adapt_step_size=False, adapt_mass_matrix=False)
    run = warmed_up(NoUTurn(target.potential_and_grad), warmup, target, num_draws=5)
    assert (run.state.tuning.step_size == 1.0).all()
    assert (run.state.tuning.metric.inverse == 1.0).all()


def test_step_sizes_stay_within_their_bounds():
    target = normal(2)
    warmup = Warmup(50, step_bounds=(0.1, 0.2))
    run = warmed_up(NoUTurn(target.potential_and_grad), warmup, target, num_draws=5)
    assert (run.state.tuning.step_size >= 0.1).all()
    assert (run.state.tuning.step_size <= 0.2).all()


SCALES = torch.logspace(-2, 2, 5, dtype=torch.float64)


def stretched(z):
    """Independent normals whose scales span four orders of magnitude."""
    return 0.5 * (z / SCALES).square().sum(-1), z / SCALES**2


def pooled_run(full_mass=False, num_warmup=60, num_draws=40, adapt="stan"):
    start = 2 * torch.rand(64, 5, generator=generator(0), dtype=torch.float64) - 1
    warmup = Warmup(num_warmup, full_mass=full_mass, cross_chain_adaptation=True, adapt=adapt)
    return Chains(Sampler(NoUTurn(stretched), warmup, num_draws), start, 1.0, seeds=range(64))


def test_the_first_metric_of_many_chains_is_exact_for_independent_normals():
    """Whatever the starting points are: gradients are proportional to deviations."""
    run = pooled_run()
    assert_close(run.state.tuning.metric.inverse, (SCALES**2).expand(64, 5))


@pytest.mark.parametrize("full_mass", [False, True])
def test_many_chains_need_a_short_warm_up_and_then_share_their_tuning(full_mass):
    run = pooled_run(full_mass)
    run.run()
    tuning = run.state.tuning
    assert (tuning.step_size == tuning.step_size[0]).all()
    variance = tuning.metric.inverse
    variance = variance.diagonal(dim1=-2, dim2=-1) if full_mass else variance
    assert_close(variance, (SCALES**2).expand(64, 5), rtol=0.25, atol=0.0)
    assert abs(float(run.record.field("accept_prob").mean()) - 0.8) < 0.1
    z = run.record.draws.mean((0, 1)) / SCALES * 1280**0.5  # at half a draw's worth each
    assert (z.abs() < 4).all()


@pytest.mark.parametrize("adapt", ["diag", "low_rank"])
def test_many_chains_learn_the_exact_metric_of_independent_normals_from_gradients(adapt):
    run = pooled_run(adapt == "low_rank", adapt=adapt)
    run.run()
    variance = run.state.tuning.metric.inverse
    variance = variance.diagonal(dim1=-2, dim2=-1) if adapt == "low_rank" else variance
    assert_close(variance, (SCALES**2).expand(64, 5), rtol=1e-6, atol=0.0)


def test_a_slow_chain_holds_nobody_up():
    """Three quarters of the chains end a window for all; the others go on where they are."""
    run = pooled_run()
    run.leap()
    end = run.sampler.warmup.window_ends[0]
    paused = torch.arange(64) < 48
    state = run.state._replace(paused=paused, iteration=torch.where(paused, end, 2))
    noise = partial(run.stream.draw_last, run.stream.next())
    with torch.no_grad():
        after = run.sampler.adapt(state, noise, run.records)
        late = run.sampler.adapt(state._replace(paused=torch.arange(64) < 47), noise, run.records)
    assert (after.iteration == end).all()
    assert not after.paused.any()
    assert_close(after.machine.edge.position, state.machine.draw.position)
    assert (late.iteration == state.iteration).all()
    assert late.paused.sum() == 47
