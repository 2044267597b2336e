"""Faster ways to score and to draw counts."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.testing.statistics import assert_zero_mean


def test_a_sparse_poisson_has_the_same_density_and_gradient():
    rate = torch.rand(2, 50).double().requires_grad_()
    value = torch.poisson(torch.full((3, 2, 50), 0.1)).double()
    results = []
    for is_sparse in (False, True):
        d = dist.Poisson(rate, is_sparse=is_sparse).expand((3, 2, 50))
        log_prob = d.log_prob(value)
        results.append((log_prob.detach(), *torch.autograd.grad(log_prob.sum(), rate)))
    assert d.is_sparse
    assert_close(*results)


@pytest.mark.parametrize("probs", [0.001, 0.999])
def test_draws_of_many_trials_may_be_poisson(probs):
    torch.manual_seed(0)
    d = dist.Binomial(torch.tensor([10.0, 1e6]), torch.tensor(probs).double())
    d.approx_sample_thresh = 100.0
    x = d.sample((20_000,)).double()
    assert_zero_mean(x - d.mean, "mean")
    assert_zero_mean((x - d.mean).square() / d.variance - 1, "variance")  # 1 + 0.001 in truth


@pytest.mark.parametrize("tol", [0.1, 0.01])
def test_an_approximate_binomial_density_is_within_its_tolerance(tol):
    d = dist.Binomial(torch.tensor(1000.0), logits=torch.tensor(-0.3))
    value = torch.arange(1001.0)
    exact = d.log_prob(value)
    d.approx_log_prob_tol = tol
    error = (d.log_prob(value) - exact).abs().max()
    assert 1e-5 < error < tol
