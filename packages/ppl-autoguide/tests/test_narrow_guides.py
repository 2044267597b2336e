"""Guides that are too narrow: how they are found out, and what linear response makes of them."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, NotFiniteError
from ppl.infer.autoguide import (
    AutoDiagonalNormal,
    AutoGaussian,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoPathfinder,
    diagnose,
    init_to_value,
)

DIM = 4
LOC = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
START = init_to_value(values={"a": LOC[0], "b": LOC[1:]})


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def covariance(rho):
    matrix = torch.full((DIM, DIM), rho, dtype=torch.float64)
    matrix.fill_diagonal_(1.0)
    scale = torch.tensor([1.0, 10.0, 0.1, 2.0], dtype=torch.float64)
    return scale[:, None] * matrix * scale


def correlated(rho):
    def model():
        zero = torch.zeros((), dtype=torch.float64)
        a = ppl.sample("a", dist.Normal(zero, 1.0).mask(False))
        b = ppl.sample("b", dist.Normal(zero, 1.0).expand([DIM - 1]).to_event(1).mask(False))
        target = dist.MultivariateNormal(LOC, covariance(rho))
        ppl.factor("target", target.log_prob(torch.cat([a[None], b])))

    return model


def best_mean_field(make, rho):
    """Return the guide at its optimum, whose variances are one over the diagonal precision."""
    guide = make(correlated(rho), init_loc_fn=START)
    guide.setup()
    scale = covariance(rho).inverse().diagonal().rsqrt()
    if make is AutoNormal:
        guide.scales.a, guide.scales.b = scale[0], scale[1:]
    else:
        guide.scale = scale
    return guide


mean_field = pytest.mark.parametrize("make", [AutoNormal, AutoDiagonalNormal])


@mean_field
@pytest.mark.parametrize("rho", [-0.3, 0.99])
def test_linear_response_of_a_normal_posterior_is_exact(make, rho):
    guide = best_mean_field(make, rho)
    normal = guide.linear_response()
    assert isinstance(normal, AutoMultivariateNormal)
    posterior = normal.get_posterior()
    assert_close(posterior.mean, LOC)
    assert_close(posterior.covariance_matrix, covariance(rho), rtol=1e-6, atol=1e-8)
    assert normal.diagnose(correlated(rho), num_draws=100).divergence == pytest.approx(0, abs=1e-6)


def test_linear_response_of_a_logarithm_is_on_the_unconstrained_scale():
    """The mean field of two independent gammas: nothing is to be added."""
    shape = torch.tensor([3.0, 8.0], dtype=torch.float64)
    guide = AutoDiagonalNormal(lambda: ppl.sample("x", dist.Gamma(shape, 1.0).to_event(1)))
    guide.setup()
    with torch.no_grad():  # the optimum: E exp(u) = shape, and 1 = shape * variance
        guide.loc.copy_(shape.log() - 0.5 / shape)
        guide.scale = shape.rsqrt()
    found = guide.linear_response(num_draws=4000).get_posterior()
    # exp(u) has moments of the normal: the Hessian of the negative ELBO by mean and log scale
    exact = torch.stack(
        [
            torch.tensor([[a, 1.0], [1.0, 1.0 + 1.0 + 1 / a]], dtype=torch.float64).inverse()[0, 0]
            for a in shape.tolist()
        ]
    )
    assert_close(found.variance, exact, rtol=0.1, atol=0)


@mean_field
@pytest.mark.parametrize("rho", [0.6, 0.99])
def test_a_mean_field_guide_of_a_correlated_posterior_is_reported_as_too_narrow(make, rho):
    guide = best_mean_field(make, rho)
    found = guide.diagnose(correlated(rho), num_draws=200)
    assert found.narrow_sites == ("a", "b")
    ratio = (covariance(rho).diagonal() * covariance(rho).inverse().diagonal()).sqrt()
    assert found.spread["a"] == pytest.approx(ratio[0].item(), rel=1e-4)
    assert found.spread["b"] == pytest.approx(ratio[1:].max().item(), rel=1e-4)
    assert "too narrow at 'a'" in str(found)
    assert "guide.linear_response()" in str(found)


@mean_field
def test_a_mean_field_guide_that_fits_is_not_reported(make):
    found = best_mean_field(make, 0.0).diagnose(correlated(0.0), num_draws=200)
    assert found.narrow_sites == ()
    assert "narrow" not in str(found)
    assert found.is_reliable


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("scale", "narrow"), [(1.0, ()), (1.5, ()), (0.7, ("x",))])
def test_the_weights_find_a_narrow_guide_of_any_kind(scale, narrow, parallel):
    """By chance, a guide that fits is reported once in a thousand times."""

    def model():
        ppl.sample("x", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))

    def guide():
        ppl.sample("x", dist.LogNormal(torch.zeros(3), scale).to_event(1))

    found = diagnose(model, guide, num_draws=1000, parallel=parallel)
    assert found.narrow_sites == narrow
    assert found.spread["x"] == pytest.approx(1 / scale, rel=0.2)
    assert "linear_response" not in str(found)


# what k says of each family


def heavy():
    """Tails of a power, which no normal reaches."""
    zero = torch.zeros(20, dtype=torch.float64)
    ppl.sample("x", dist.StudentT(1.0, zero).to_event(1))


def laplace(model):
    guide = AutoLaplaceApproximation(model, init_to_value(values={"x": torch.zeros(20).double()}))
    return guide.laplace_approximation()


def full(model):
    guide = AutoMultivariateNormal(model)
    guide.setup()
    guide.set_moments(LOC, torch.linalg.cholesky(covariance(0.95)))
    return guide


@pytest.mark.parametrize(
    "make",
    [
        full,
        lambda model: AutoLaplaceApproximation(model, START).laplace_approximation(),
        lambda model: AutoPathfinder(model, num_paths=1).fit(),
    ],
    ids=["full", "laplace", "pathfinder"],
)
def test_what_has_all_covariances_fits_a_correlated_normal(make):
    found = make(correlated(0.95)).diagnose(correlated(0.95), num_draws=200)
    assert found.is_reliable
    assert found.narrow_sites == ()
    assert found.divergence == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        laplace,
        lambda model: AutoPathfinder(model, num_paths=1).fit(),
        lambda model: AutoDiagonalNormal(model, init_scale=0.7),
        lambda model: AutoNormal(model, init_scale=0.7),
        lambda model: AutoMultivariateNormal(model, init_scale=0.7),
        lambda model: AutoGaussian(model, init_scale=0.7),
        lambda model: AutoIAFNormal(model, hidden_dim=4),
    ],
    ids=["laplace", "pathfinder", "diagonal", "normal", "full", "gaussian", "flow"],
)
def test_no_normal_fits_tails_of_a_power(make):
    found = make(heavy).diagnose(heavy, num_draws=1000, parallel=True)
    assert not found.is_reliable
    assert "parts are missed" in str(found)


# refusals


@pytest.mark.parametrize("make", [AutoMultivariateNormal, AutoLowRankMultivariateNormal])
def test_a_guide_with_covariances_has_no_linear_response(make):
    with pytest.raises(NotImplementedError, match="covariances of its own"):
        make(correlated(0.5)).linear_response()


def test_a_guide_far_from_its_optimum_is_refused():
    def model():
        x = ppl.sample("x", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0).mask(False))
        ppl.factor("two", torch.cosh(x).log() - x**2 / 8)  # bends up in the middle

    guide = AutoDiagonalNormal(model, init_to_value(values={"x": torch.tensor(0.0).double()}))
    with pytest.raises(NotFiniteError, match="negative ELBO is not positive definite.*'x'"):
        guide.linear_response()
    assert math.isfinite(guide.diagnose(model, num_draws=100).elbo)


def test_linear_response_needs_all_of_the_data():
    def model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 4, subsample_size=2):
            ppl.sample("y", dist.Normal(mu, 1.0), obs=torch.zeros(2))

    with pytest.raises(ArgumentError, match="'rows' is a subsample"):
        AutoNormal(model).linear_response()


def test_no_random_numbers_are_used_up():
    guide = best_mean_field(AutoDiagonalNormal, 0.5)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    guide.linear_response()
    assert torch.rand(2).equal(expected)
