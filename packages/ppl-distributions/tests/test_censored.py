"""Censored observations, each with its own bounds."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.testing.statistics import assert_zero_mean
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


def test_density_and_tail_masses_add_up_to_one():
    d = dist.Censored(dist.Normal(torch.tensor(0.3).double(), 1.2), -1.0, 2.0)
    x = torch.linspace(-1.0, 2.0, 200_001, dtype=torch.float64)
    inside = torch.trapezoid(d.log_prob(x[1:-1]).exp(), x[1:-1])
    ends = d.log_prob(x[[0, -1]]).exp().sum()
    assert_close(inside + ends, torch.ones_like(ends), atol=1e-5, rtol=0)


def test_draws_meet_the_bounds_as_often_as_the_tails_say():
    torch.manual_seed(0)
    d = dist.Censored(dist.Logistic(torch.tensor(0.3), 1.2), -1.0, 2.0)
    x = d.sample((20_000,))
    for bound in (-1.0, 2.0):
        hits = (x == bound).double()
        assert_zero_mean(hits - d.log_prob(torch.tensor(bound)).exp(), f"mass at {bound}")


def test_a_survival_time_scores_its_density_and_an_unfinished_one_its_survival():
    """The exponential has a likelihood in closed form: events times log rate less exposure."""
    rate = torch.tensor(0.7, requires_grad=True)
    end = torch.tensor([2.0, math.inf, 5.0])
    times = torch.tensor([2.0, 9.0, 1.5])  # the first one is unfinished
    density = dist.Censored(dist.Exponential(rate), high=end).log_prob(times)
    assert_close(density.sum(), 2 * rate.log() - rate * times.sum())
    (gradient,) = torch.autograd.grad(density.sum(), rate)
    assert_close(gradient, 2 / rate.detach() - times.sum())


def test_a_tail_far_out_is_scored_in_log_space():
    loc = torch.tensor(0.0, requires_grad=True)
    density = dist.Censored(dist.Normal(loc, 1.0), high=50.0).log_prob(torch.tensor(50.0))
    assert_close(density, torch.tensor(-1254.8313))
    assert_close(torch.autograd.grad(density, loc)[0], torch.tensor(50.02))


def test_values_outside_the_window_and_vectors_are_refused():
    with validation_enabled(), pytest.raises(ValueError, match="support"):
        dist.Censored(dist.Normal(0.0, 1.0), high=1.0).log_prob(torch.tensor(1.5))
    with pytest.raises(ShapeError, match="to_event"):
        dist.Censored(dist.Normal(torch.zeros(2), 1.0).to_event(1), 0.0)
