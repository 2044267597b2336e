"""Scores matched in closed form: exact on normals, and the equation of each step."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, NotFiniteError, SiteError
from ppl.infer.autoguide import AutoBatchAndMatch, AutoMultivariateNormal
from ppl.infer.autoguide.auto_batch_and_match import match

LOC = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
TRIL = torch.tensor([[1.0, 0.0, 0.0], [-1.5, 0.5, 0.0], [0.3, 0.2, 20.0]], dtype=torch.float64)
COV = TRIL @ TRIL.T


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def correlated():
    ppl.sample("z", dist.MultivariateNormal(LOC, scale_tril=TRIL))


def test_a_normal_posterior_is_found_exactly():
    guide = AutoBatchAndMatch(correlated).fit(num_steps=100)
    assert isinstance(guide, AutoMultivariateNormal)
    posterior = guide.get_posterior()
    assert_close(posterior.mean, LOC, atol=1e-6, rtol=0)
    assert_close(posterior.covariance_matrix, COV, atol=1e-6, rtol=1e-6)


def test_a_step_solves_its_equation_and_stays_where_the_scores_match():
    draws = LOC + torch.randn(50, 3).double() @ TRIL.mT
    scores = -(draws - LOC) @ torch.cholesky_inverse(TRIL)
    for weight in (0.1, 1.0, 1e4):
        loc, tril = match(LOC, TRIL, draws, scores, weight)
        assert_close(loc, LOC)
        assert_close(tril @ tril.mT, COV)
        other = torch.eye(3).double()
        loc, tril = match(LOC + 1, other, draws, scores, weight)
        found, share = tril @ tril.mT, weight / (1 + weight)
        mean, slope = draws.mean(0), scores.mean(0)
        u = weight * torch.cov(scores.mT, correction=0) + share * torch.outer(slope, slope)
        gap = LOC + 1 - mean
        v = other + weight * torch.cov(draws.mT, correction=0) + share * torch.outer(gap, gap)
        assert_close(found @ u @ found + found, v)
        assert_close(loc, (LOC + 1) / (1 + weight) + share * (found @ slope + mean))


def test_a_posterior_that_is_no_normal_is_approximated():
    """Weights with a reliable k correct it, and the mean of a gamma is right to a few percent."""
    shape = torch.tensor([4.0, 9.0], dtype=torch.float64)

    def model():
        ppl.sample("x", dist.Gamma(shape, 2.0).to_event(1))

    guide = AutoBatchAndMatch(model).fit()
    assert guide.diagnose(model, num_draws=500).is_reliable
    posterior = guide.get_posterior()
    mean = (posterior.mean + posterior.variance / 2).exp()
    assert_close(mean, shape / 2, rtol=0.1, atol=0)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(SiteError, match="num_steps must be"):
        AutoBatchAndMatch(correlated).fit(num_steps=0)
    with pytest.raises(SiteError, match="batch_size must be"):
        AutoBatchAndMatch(correlated).fit(batch_size=1)

    def broken():
        ppl.factor("nan", ppl.sample("x", dist.Normal(0.0, 1.0)) * math.nan)

    with pytest.raises(NotFiniteError, match="none of the 32 draws of step 0"):
        AutoBatchAndMatch(broken).fit()

    def subsampled():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 4, subsample_size=2):
            ppl.sample("y", dist.Normal(mu, 1.0), obs=torch.zeros(2))

    with pytest.raises(ArgumentError, match="'rows' is a subsample"):
        AutoBatchAndMatch(subsampled).fit()
