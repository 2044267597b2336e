"""Deterministic variational inference against exact posteriors."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, NotFiniteError, PPLWarning, UnsupportedModelError
from ppl.infer import DADVI
from ppl.infer.svi.dadvi import NotAMinimumError

X = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64)
X = torch.stack([torch.ones_like(X), X], -1)
Y = X @ torch.tensor([0.5, -1.0], dtype=torch.float64) + 0.3 * torch.cos(5 * X[:, 1])


def regression(x, y):
    w = ppl.sample("w", dist.Normal(torch.zeros(2, dtype=torch.float64), 2.0).to_event(1))
    with ppl.plate("rows", len(x)):
        ppl.sample("y", dist.Normal(x @ w, 0.5), obs=y)


def exact():
    covariance = torch.linalg.inv(X.mT @ X / 0.25 + torch.eye(2, dtype=torch.float64) / 4)
    return covariance @ X.mT @ Y / 0.25, covariance


@pytest.fixture(scope="module")
def posterior():
    return DADVI(regression, tolerance=1e-6).fit(X, Y)


def test_linear_response_is_exact_for_a_normal_posterior(posterior):
    assert posterior.is_converged
    assert_close(posterior.covariance, exact()[1], rtol=1e-4, atol=1e-6)
    assert bool((posterior.scale < exact()[1].diagonal().sqrt()).all())  # as mean fields are


def test_the_mean_is_exact_for_a_normal_posterior(posterior):
    assert_close(posterior.center, exact()[0], rtol=1e-4, atol=1e-6)
    assert posterior.monte_carlo_error.abs().max() < 1e-6


def skewed(y):
    rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
    with ppl.plate("rows", len(y)):
        ppl.sample("y", dist.Exponential(rate), obs=y)


def test_errors_are_those_of_many_seeds():
    y = torch.tensor([0.3, 1.9])
    fits = [DADVI(skewed, num_draws=10, seed=seed).fit(y) for seed in range(16)]
    spread = torch.cat([fit.center for fit in fits]).std()
    error = torch.cat([fit.monte_carlo_error for fit in fits]).square().mean().sqrt()
    assert 0.4 < spread / error < 1.8  # 16 seeds: a standard deviation of 0.18 and some bias


def test_a_fit_is_repeatable_and_leaves_the_generators_alone(posterior):
    before = torch.get_rng_state()
    again = DADVI(regression, tolerance=1e-6).fit(X, Y)
    assert torch.equal(again.center, posterior.center)
    assert torch.equal(before, torch.get_rng_state())


def test_constrained_sites_are_transformed_with_their_jacobian():
    y = dist.Gamma(3.0, 1.0).sample((200,))

    def model(y):
        rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
        with ppl.plate("rows", len(y)):
            ppl.sample("y", dist.Gamma(3.0, rate), obs=y)

    torch.manual_seed(0)
    fitted = DADVI(model).fit(y)
    shape, total = 2.0 + 3.0 * len(y), 1.0 + float(y.sum())
    draws = fitted.sample(4000)["rate"]
    assert draws.shape == (4000,) and bool((draws > 0).all())
    assert fitted.median()["rate"].item() == pytest.approx(shape / total, rel=0.01)
    assert draws.std().item() == pytest.approx(shape**0.5 / total, rel=0.1)


def test_samples_have_the_covariance_that_was_asked_for(posterior):
    torch.manual_seed(0)
    for way, expected in (
        ("linear response", exact()[1]),
        ("mean field", posterior.scale.square().diag()),
    ):
        draws = posterior.sample(20_000, way)["w"]
        assert_close(draws.mT.cov(), expected, rtol=0.06, atol=1e-3)
    with pytest.raises(ArgumentError, match="linear response"):
        posterior.sample(3, "full")


def test_a_dynamic_model_is_fitted_after_a_warning():
    def dynamic(y):
        z = ppl.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
        y.sum().item()
        ppl.sample("y", dist.Normal(z, float(y.std())), obs=y.mean())

    expected = 1 / (1 + 1 / Y.var().item())
    with pytest.warns(PPLWarning, match="without recording"):
        fitted = DADVI(dynamic, tolerance=1e-6).fit(Y)
    assert fitted.covariance.item() == pytest.approx(expected, rel=1e-3)


def test_what_it_cannot_fit_is_refused_with_a_reason():
    def discrete():
        ppl.sample("k", dist.Bernoulli(0.5))

    def subsampled():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 10, subsample_size=3):
            ppl.sample("x", dist.Normal(z, 1.0), obs=torch.zeros(3))

    def empty():
        pass

    def broken():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.factor("f", (-1.0 - z.abs()).log())

    with pytest.raises(UnsupportedModelError, match="'k' is discrete"):
        DADVI(discrete).fit()
    with pytest.raises(UnsupportedModelError, match="'rows' has 3 of 10 rows"):
        DADVI(subsampled).fit()
    with pytest.raises(UnsupportedModelError, match="no latent sites"):
        DADVI(empty).fit()
    with pytest.raises((NotFiniteError, ValueError)):
        DADVI(broken).fit()
    for options in ({"num_draws": 7}, {"tolerance": 0.0}, {"max_steps": 0}):
        with pytest.raises((ArgumentError, ValueError)):
            DADVI(discrete, **options)


def test_a_fit_that_has_not_converged_says_so():
    def flat():
        a = ppl.sample("a", dist.Normal(torch.zeros(2), 1.0).to_event(1).mask(False))
        ppl.sample("y", dist.Normal(a.sum(), 1.0), obs=torch.zeros(()))

    with pytest.warns(PPLWarning, match="not converged"):
        fitted = DADVI(flat, max_steps=3).fit()
    with pytest.raises(NotAMinimumError):
        fitted.covariance  # noqa: B018
