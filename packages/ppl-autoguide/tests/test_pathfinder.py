"""Normals along the paths of L-BFGS: exact on normals, and a guide like the others."""

import copy
import math
import pickle

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import (
    ArgumentError,
    NotFiniteError,
    NotRunError,
    PPLWarning,
    SiteError,
    UnsupportedModelError,
)
from ppl.infer import Predictive
from ppl.infer.autoguide import AutoPathfinder, init_to_value
from ppl.infer.autoguide.levels import mixture_quantiles
from ppl.infer.autoguide.quasi_newton_normal import QuasiNewtonNormal
from ppl.infer.autoguide.vector_density import BatchedDensity

LOC = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
TRIL = torch.tensor([[1.0, 0.0, 0.0], [-1.5, 0.5, 0.0], [0.3, 0.2, 2.0]], dtype=torch.float64)
COV = TRIL @ TRIL.T


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def correlated():
    zero = torch.zeros(3, dtype=torch.float64)
    tail = ppl.sample("tail", dist.Normal(zero[:2], 1.0).mask(False).to_event(1))
    head = ppl.sample("head", dist.Normal(zero[:1], 1.0).mask(False).to_event(1))
    target = dist.MultivariateNormal(LOC, scale_tril=TRIL)
    ppl.factor("target", target.log_prob(torch.cat([head, tail])))


ORDER = torch.tensor([1, 2, 0])  # tail comes first in the model


def bimodal():
    x = ppl.sample("x", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0).mask(False))
    modes = torch.tensor([-6.0, 6.0], dtype=torch.float64)
    log_weights = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    ppl.factor("target", (dist.Normal(modes, 1.0).log_prob(x) + log_weights).logsumexp(-1))


def random_normal(batch=()):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*batch, *shape, generator=generator, dtype=torch.float64)

    basis = torch.linalg.qr(draw(5, 3))[0]
    root = torch.linalg.cholesky(torch.eye(3) + (x := draw(3, 3)) @ x.mT)
    return QuasiNewtonNormal(draw(5), draw(5).exp(), basis, root)


# the distribution


@pytest.mark.parametrize("batch", [(), (2,)])
def test_the_normal_is_a_multivariate_normal_with_its_covariance(batch):
    normal = random_normal(batch)
    same = dist.MultivariateNormal(normal.mean, normal.covariance_matrix)
    value = normal.sample((4,))
    assert value.shape == (4, *batch, 5)
    assert_close(normal.log_prob(value), same.log_prob(value))
    assert_close(normal.entropy(), same.entropy())
    assert_close(normal.variance, same.variance)
    vector = torch.ones_like(normal.loc)
    assert_close(normal.covary(vector), (same.covariance_matrix @ vector.unsqueeze(-1)).squeeze(-1))
    expanded = normal.expand((3, *batch))
    assert_close(expanded.log_prob(value[:3]), same.log_prob(value[:3]))


def test_the_draws_of_the_normal_have_its_covariance():
    normal = random_normal()
    noise = torch.linalg.solve_triangular(
        torch.linalg.cholesky(normal.covariance_matrix),
        (normal.sample((20_000,)) - normal.mean).mT,
        upper=False,
    )
    error = 4.5 * math.sqrt(2 / 20_000)  # a chance of 1e-4 for 15 numbers
    assert_close(noise.mT.mean(0), torch.zeros(5).double(), atol=error, rtol=0)
    assert_close(noise @ noise.mT / 20_000, torch.eye(5).double(), atol=error, rtol=0)


def test_quantiles_of_a_mixture_invert_its_distribution_function():
    levels = torch.tensor([0.0, 0.001, 0.3, 0.5, 0.99, 1.0], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.8, 0.0], dtype=torch.float64)
    loc = torch.tensor([[-3.0, 0.0], [2.0, 0.0], [math.nan, 9.0]], dtype=torch.float64)
    scale = torch.tensor([[1.0, 2.0], [0.5, 2.0], [1.0, 1.0]], dtype=torch.float64)
    found = mixture_quantiles(levels, weights, loc, scale)
    level = (weights[:2] * dist.Normal(loc[:2], scale[:2]).cdf(found.unsqueeze(1)).mT).sum(-1)
    assert_close(level, levels[:, None].expand(6, 2))
    assert_close(found[:, 1], 2 * torch.special.ndtri(levels))


# the guide


@pytest.mark.parametrize("num_paths", [1, 3])
def test_the_moments_of_a_normal_posterior_are_exact(num_paths):
    guide = AutoPathfinder(correlated, num_paths=num_paths).fit()
    assert_close(guide.median()["head"], LOC[:1], atol=1e-5, rtol=0)
    assert_close(guide.median()["tail"], LOC[1:], atol=1e-5, rtol=0)
    # in the order of names, as MCMC has it
    assert_close(guide.inverse_mass_matrix(), COV, atol=1e-4, rtol=1e-4)
    assert_close(guide.inverse_mass_matrix(is_dense=False), COV.diag(), atol=1e-4, rtol=1e-4)
    spread = guide.quantiles([0.5, 0.8413447460685429])["tail"].diff(dim=0)[0]
    assert_close(spread, COV.diag().sqrt()[1:], atol=1e-4, rtol=1e-4)
    assert guide.diagnose(correlated, num_draws=200).divergence == pytest.approx(0, abs=1e-4)
    draws = torch.cat([guide.get_samples()["head"], guide.get_samples()["tail"]], -1)
    error = 4.5 / math.sqrt(1000)  # a chance of 1e-4 or less for 3 means
    z = (draws.mean(0) - LOC) / COV.diag().sqrt()
    assert z.abs().max() < error


def test_paths_are_weighted_by_the_mass_of_their_modes():
    starts = iter(torch.tensor([-5.0, 5.0, 7.0, -7.0, 4.0, 5.5]).double())
    guide = AutoPathfinder(bimodal, lambda site: next(starts), num_paths=4).fit()
    left = guide.loc[:, 0] < 0
    assert left.tolist().count(True) in (1, 2)
    assert_close(guide.weights[left].sum().item(), 0.25, atol=0.03, rtol=0)
    assert guide.quantiles([0.2, 0.9])["x"].sign().tolist() == [-1, 1]
    assert guide.diagnose(bimodal, num_draws=500).is_reliable
    below = (guide.get_samples()["x"] < 0).double().mean()
    assert abs(below - 0.25) < 0.03


def test_supports_and_plates_are_those_of_the_sites():
    def model():
        scale = ppl.sample("scale", dist.Gamma(3.0, 1.0))
        ppl.sample("simplex", dist.Dirichlet(torch.tensor([2.0, 3.0, 4.0])))
        with ppl.plate("rows", 4):
            z = ppl.sample("z", dist.LogNormal(0.0, scale))
            ppl.sample("y", dist.Poisson(z), obs=torch.tensor([1.0, 2.0, 0.0, 5.0]))

    guide = AutoPathfinder(model, num_paths=2).fit()
    for values in (guide(), guide.median(), Predictive(guide, num_samples=5, parallel=True)()):
        assert values["z"].shape[-1] == 4
        assert bool((values["z"] > 0).all() and (values["scale"] > 0).all())
        assert_close(values["simplex"].sum(-1), torch.ones(values["simplex"].shape[:-1]))
    trace = poutine.trace(guide).get_trace()
    latent = trace.nodes["_AutoPathfinder_latent"]
    assert_close(
        latent["fn"].log_prob(latent["value"]), guide.get_posterior().log_prob(latent["value"])
    )


def test_the_draws_are_closer_to_a_bent_posterior_than_the_guide():
    """The mean of a gamma: the normal of its logarithm is off, the weights correct it."""
    shape = torch.tensor(2.0, dtype=torch.float64)
    guide = AutoPathfinder(lambda: ppl.sample("x", dist.Gamma(shape, 1.0)), num_draws=4000).fit()
    exact = 2.0
    plain = Predictive(guide, num_samples=4000, parallel=True)()["x"].mean()
    assert abs(plain - exact) > 0.15
    assert abs(guide.get_samples()["x"].mean() - exact) < 0.1  # 4.5 standard errors


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_what_was_found_is_state(duplicate):
    guide = AutoPathfinder(correlated, num_paths=2).fit()
    fresh = AutoPathfinder(correlated, num_paths=2)
    fresh.load_state_dict(guide.state_dict())
    fresh()
    for twin in (fresh, duplicate(guide)):
        for name, value in guide.median().items():
            assert_close(twin.median()[name], value)
        assert_close(twin.draws, guide.draws)
        assert twin.inverse_mass_matrix().equal(guide.inverse_mass_matrix())


def test_a_strategy_starts_each_chain_at_a_draw_of_its_own():
    guide = AutoPathfinder(correlated).fit()
    strategy = guide.init_strategy()
    sites = [{"name": n, "fn": guide.prototype_trace.nodes[n]["fn"]} for n in ("head", "tail")]
    runs = [torch.cat([strategy(site) for site in sites]) for _ in range(3)]
    rows = guide.draws[:, [2, 0, 1]]
    assert all((rows == run).all(-1).any() for run in runs)
    assert not runs[0].equal(runs[1])


# refusals


def test_a_guide_that_was_not_fitted_says_so():
    guide = AutoPathfinder(correlated)
    guide.setup()
    for ask in (guide, guide.median, guide.get_samples, guide.inverse_mass_matrix):
        with pytest.raises(NotRunError, match="call fit"):
            ask()


def test_a_subsample_is_refused():
    def model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 4, subsample_size=2):
            ppl.sample("y", dist.Normal(mu, 1.0), obs=torch.zeros(2))

    with pytest.raises(ArgumentError, match="'rows' is a subsample of 2 of 4"):
        AutoPathfinder(model).fit()


def test_a_site_that_was_hidden_is_refused():
    def model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        k = ppl.sample("k", dist.Bernoulli(0.5))
        ppl.sample("y", dist.Normal(mu + k, 1.0), obs=torch.tensor(0.0))

    with pytest.raises(UnsupportedModelError, match="draws at random"):
        AutoPathfinder(poutine.block(model, hide=["k"])).fit()


def test_a_model_without_density_is_refused():
    def model():
        ppl.factor("never", ppl.sample("x", dist.Normal(0.0, 1.0)) * math.nan)

    with pytest.raises(NotFiniteError, match="no start"):
        AutoPathfinder(model, num_paths=1).fit()


@pytest.mark.parametrize(
    "option", ["num_paths", "memory", "max_iterations", "num_elbo_draws", "num_draws"]
)
def test_numbers_that_are_not_positive_are_refused(option):
    with pytest.raises(SiteError, match=f"{option} must be"):
        AutoPathfinder(correlated, **{option: 0})


def test_a_model_that_branches_on_values_runs_vector_by_vector():
    def branching():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        if x > 100:
            ppl.factor("far", -x)
        ppl.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(2.0))

    with pytest.warns(PPLWarning, match="without recording"):
        guide = AutoPathfinder(branching, num_paths=2, num_elbo_draws=5, num_draws=20).fit()
    assert_close(guide.median()["x"], torch.tensor(1.0), atol=1e-4, rtol=0)


def test_where_there_is_no_density_it_is_nan():
    def density(vector):
        return torch.linalg.cholesky(vector.diag()).diag().log().sum()

    batched = BatchedDensity(density, torch.ones(2, 3))
    value, gradient = batched(torch.tensor([[1.0, 2.0, 3.0], [1.0, -1.0, 1.0]]))
    assert_close(value, torch.tensor([0.5 * math.log(6), math.nan]), equal_nan=True)
    assert_close(gradient[0], torch.tensor([0.5, 0.25, 1 / 6]))


def test_a_start_at_the_mode_is_found_there():
    guide = AutoPathfinder(
        lambda: ppl.sample("x", dist.Normal(1.0, 1.0)),
        init_to_value(values={"x": torch.tensor(1.0)}),
        num_paths=1,
    ).fit()
    assert_close(guide.get_posterior().variance, torch.ones(1))
