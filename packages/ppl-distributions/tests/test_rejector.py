"""Rejection sampling and its gradient."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import Exponential, Normal, Rejector
from ppl.distributions.testing.statistics import assert_zero_mean


def truncated(scale):
    """Return a normal above 0 by rejection of the others, half of all."""

    def log_prob_accept(x):
        return torch.where(x > 0, 0.0, -torch.inf)

    return Rejector(
        Normal(torch.zeros_like(scale), scale), log_prob_accept, torch.tensor(0.5).log()
    )


def test_only_accepted_values_are_drawn():
    torch.manual_seed(0)
    assert (truncated(torch.ones(3)).sample((1000,)) > 0).all()


def test_pathwise_and_score_parts_add_up_to_the_gradient_of_the_mean():
    """Naesseth et al. (2017), equation 5, for a mean that is known: 1 / (rate + speed)."""
    torch.manual_seed(0)
    rate, speed = (torch.full((100_000,), x).double().requires_grad_() for x in (0.8, 1.5))
    base = Exponential(rate)
    d = Rejector(base, lambda x: -speed * x, (rate / (rate + speed)).log())
    x = d.rsample()
    surrogate = x + x.detach() * d.score_parts(x).score_function
    gradients = torch.autograd.grad(surrogate.sum(), (rate, speed))
    for gradient in gradients:
        assert_zero_mean(gradient + (0.8 + 1.5) ** -2, "gradient of the mean")


def test_score_parts_hold_the_density_and_its_excess_over_the_proposal():
    d = truncated(torch.ones(3))
    x = d.sample()
    log_prob, score_function, entropy_term = d.score_parts(x)
    assert_close(log_prob, d.log_prob(x))
    assert_close(entropy_term, log_prob)
    assert_close(score_function, torch.full((3,), 2.0).log())


def test_shapes_may_be_said_again_or_expanded():
    accept = torch.zeros_like
    same = dist.Rejector(
        dist.Exponential(torch.ones(3)), accept, 0.0, batch_shape=(3,), event_shape=()
    )
    assert same().shape == (3,)
    wide = dist.Rejector(dist.Exponential(1.0), accept, 0.0, batch_shape=torch.Size([2, 3]))
    assert wide().shape == wide.log_prob(torch.ones(())).shape == (2, 3)
    with pytest.raises(ValueError, match="event_shape"):
        dist.Rejector(dist.Exponential(torch.ones(3)), accept, 0.0, event_shape=(3,))
