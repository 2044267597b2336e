"""Ordinal regression with categories of hardly any probability."""

import math

import torch
from torch.testing import assert_close

import ppl.distributions as dist


def test_a_category_far_out_keeps_its_log_probability():
    """Where ``sigmoid(60 - x)`` rounds to 1 the difference of two of them is 0."""
    cutpoints = torch.tensor([50.0, 50.5], requires_grad=True)
    d = dist.OrderedLogistic(torch.tensor(0.0), cutpoints)
    got = d.log_prob(torch.arange(3))
    width = math.log(1 - math.exp(-0.5))
    assert_close(got, torch.tensor([0.0, -50 + width, -50.5]))
    (gradient,) = torch.autograd.grad(got[1:].sum(), cutpoints)
    odds = math.exp(-0.5) / (1 - math.exp(-0.5))
    assert_close(gradient, torch.tensor([-1 - odds, -1 + odds]), atol=1e-4, rtol=0)


def test_predictors_and_cutpoints_broadcast():
    predictor, cutpoints = torch.randn(5, 1), torch.randn(2, 3).sort(-1).values
    d = dist.OrderedLogistic(predictor, cutpoints)
    assert d.batch_shape == (5, 2) and d.probs.shape == (5, 2, 4)
    wide = d.expand((7, 5, 2))
    assert wide.predictor.shape == (7, 5, 2) and wide.cutpoints.shape == (7, 5, 2, 3)
    assert dist.OrderedLogistic.infer_shapes(predictor=(5, 1), cutpoints=(2, 3)) == ((5, 2), ())


def test_two_categories_are_a_logistic_regression():
    x = torch.linspace(-2, 2, 5)
    d = dist.OrderedLogistic(x, torch.tensor([0.7]))
    value = torch.ones(5)
    assert_close(d.log_prob(value), dist.Bernoulli(logits=x - 0.7).log_prob(value))
