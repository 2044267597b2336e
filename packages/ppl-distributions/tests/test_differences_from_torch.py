"""Where our classes do more, or better, than the classes of torch they derive from."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats as st
import torch
from torch.func import vmap
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ShapeError
from ppl.validation import validation_enabled

from .cases import CASES

DOUBLE = torch.float64
RECORDABLE = [case for case in CASES if not case.is_rejected]  # others loop until all is accepted
REPARAMETERIZED = [case for case in CASES if case.dist().has_rsample]


@pytest.fixture
def unvalidated():
    with validation_enabled(False):
        yield


@pytest.mark.parametrize("case", RECORDABLE, ids=str)
def test_draws_run_under_vmap_and_differ_with_own_and_with_shared_parameters(case, unvalidated):
    torch.manual_seed(0)
    params = {name: p[0] for name, p in case.parameters().items()}
    shape = (50, *case.make(**params).shape())
    own = {name: p.expand(50, *p.shape) for name, p in params.items()}
    x = vmap(lambda p: case.make(**p)(), randomness="different")(own)
    y = vmap(lambda _: case.make(**params)(), randomness="different")(torch.zeros(50))
    repeats = case.dist().is_discrete or case.has_atoms or not case.is_pathwise
    for draws in (x, y):
        assert draws.shape == shape
        assert draws.unique(dim=0).shape[0] > (1 if repeats else 49)


@pytest.mark.parametrize("case", [c for c in REPARAMETERIZED if c in RECORDABLE], ids=str)
def test_draws_record_and_replay_with_new_noise(case, unvalidated):
    params = case.parameters()
    draw = torch.fx.experimental.proxy_tensor.make_fx(lambda p: case.make(**p)())(params)
    first = draw(params)
    assert first.shape == case.dist().shape()
    assert any((draw(params) != first).any() for _ in range(30))  # discrete draws may repeat


@pytest.mark.parametrize("case", REPARAMETERIZED, ids=str)
def test_forced_detachment_stops_gradients(case):
    params = {name: p.requires_grad_() for name, p in case.parameters().items()}
    d = case.make(**params)
    assert d().requires_grad
    assert not d.has_rsample_(False)().requires_grad


def test_the_density_outside_a_support_that_moves_is_zero(unvalidated):
    theta = torch.tensor(2.0, requires_grad=True)
    for d in (
        dist.Pareto(theta, 3.0),
        dist.GeneralizedPareto(theta, 1.0, 0.5),
        dist.Uniform(theta, 3.0),
    ):
        log_prob = d.log_prob(torch.tensor([1.9, 2.1]))
        assert log_prob[0] == -math.inf and log_prob[1].isfinite()
        (grad,) = torch.autograd.grad(log_prob[1], theta)
        assert grad.isfinite()
    assert dist.Binomial(5, torch.tensor(0.5)).log_prob(torch.tensor(6.0)) == -math.inf
    bounded = dist.GeneralizedPareto(0.0, 1.0, -0.5)
    assert bounded.log_prob(torch.tensor(2.1)) == -math.inf
    assert_close(bounded.cdf(torch.tensor([-1.0, 3.0])), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("c", [0.0, 1e-9, -1e-9, 1e-5, -1e-5])
def test_the_generalized_pareto_is_smooth_through_the_exponential(c):
    x, scale = torch.tensor(1.5, dtype=DOUBLE), torch.tensor(2.0, dtype=DOUBLE)
    c = torch.tensor(c, dtype=DOUBLE, requires_grad=True)
    log_prob = dist.GeneralizedPareto(0.0, scale, c).log_prob(x)
    z = x / scale
    slope = z**2 / 2 - z  # of the log density in c, at 0
    assert_close(log_prob, -scale.log() - z + c.detach() * slope, atol=1e-9, rtol=0.0)
    (grad,) = torch.autograd.grad(log_prob, c)
    assert_close(grad, slope, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("spelling", ["covariance_matrix", "precision_matrix"])
def test_a_matrix_that_is_not_positive_definite_gives_nan_and_an_error_under_validation(spelling):
    bad = torch.stack([torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])])
    with validation_enabled(False):
        for d in (
            dist.MultivariateNormal(torch.zeros(2), **{spelling: bad}),
            dist.Wishart(torch.tensor(3.0), **{spelling: bad}),
        ):
            value = torch.zeros(2) if d.event_dim == 1 else torch.eye(2)
            assert_close(d.log_prob(value).isnan(), torch.tensor([False, True]))
            assert_close(getattr(d, spelling), bad)
            assert d.expand((3, 2)).log_prob(value).shape == (3, 2)
    with validation_enabled(), pytest.raises(ValueError, match=spelling):
        dist.MultivariateNormal(torch.zeros(2), **{spelling: bad})


def test_multivariate_normal_still_wants_exactly_one_matrix(unvalidated):
    with pytest.raises(ValueError, match="one of"):
        dist.MultivariateNormal(torch.zeros(2))
    with pytest.raises(ValueError, match="exactly one"):
        dist.Wishart(3.0, torch.eye(2), torch.eye(2))


def test_low_rank_multivariate_normal_names_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"\(3,\), \(2, 1\)"):
        dist.LowRankMultivariateNormal(torch.zeros(3), torch.ones(2, 1), torch.ones(3))


def test_the_von_mises_density_has_all_digits():
    kappa = np.array([1e-3, 0.5, 3.7, 3.8, 50.0])
    got = dist.VonMises(torch.tensor(0.3, dtype=DOUBLE), torch.tensor(kappa)).log_prob(
        torch.tensor(1.0, dtype=DOUBLE)
    )
    assert_close(got.numpy(), st.vonmises(kappa, 0.3).logpdf(1.0), rtol=1e-12, atol=1e-12)


def test_the_von_mises_variance_is_one_minus_the_mean_resultant_length():
    torch.manual_seed(0)
    d = dist.VonMises(torch.tensor(0.3, dtype=DOUBLE), torch.tensor(2.0, dtype=DOUBLE))
    length = (d.sample((20_000,)) - d.loc).cos()
    error = length.std() / 20_000**0.5
    assert (1 - length.mean() - d.variance).abs() < 5 * error  # false alarm 1e-6


def test_the_inverse_gamma_density_survives_large_values():
    got = dist.InverseGamma(2.0, 3.0).log_prob(torch.tensor(1e25))
    assert_close(got.item(), st.invgamma(2.0, scale=3.0).logpdf(1e25), rtol=1e-5, atol=0.0)


def test_geometric_and_multinomial_know_that_zero_times_infinity_is_zero():
    p = torch.tensor(1.0, requires_grad=True)
    log_prob = dist.Geometric(p).log_prob(torch.tensor(0.0))
    (grad,) = torch.autograd.grad(log_prob, p)
    assert log_prob == 0 and grad == 1
    assert dist.Geometric(p).log_prob(torch.tensor(1.0)) == -math.inf
    logits = torch.tensor([0.0, -math.inf])
    assert_close(
        dist.Multinomial(3, logits=logits).log_prob(torch.tensor([[3.0, 0.0], [2.0, 1.0]])),
        torch.tensor([0.0, -math.inf]),
    )


def test_a_dirichlet_of_tiny_concentration_stays_on_the_simplex():
    torch.manual_seed(0)
    concentration = torch.full((1000, 3), 1e-3, requires_grad=True)
    x = dist.Dirichlet(concentration).rsample()
    assert_close(x.sum(-1), torch.ones(1000))
    assert (x.max(-1).values > 0.99).float().mean() > 0.95  # almost all mass at the corners
    (grad,) = torch.autograd.grad(x[..., 0].sum(), concentration)
    assert grad.isfinite().all()


def test_gradients_of_gamma_draws_run_under_vmap_without_a_loop(unvalidated):
    def draw(concentration, rate):
        return dist.Gamma(concentration, rate)()

    c, rate = torch.rand(50) + 1, torch.tensor(2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns when it falls back to a loop
        batched = vmap(torch.func.grad(draw, argnums=(0, 1)), (0, None), randomness="different")
        for grad in batched(c, rate):
            assert grad.shape == (50,) and grad.unique().numel() == 50
    recorded = torch.fx.experimental.proxy_tensor.make_fx(lambda *args: batched(*args))(c, rate)
    assert len(recorded.graph.nodes) < 50


def test_the_randomness_of_vmap_is_honoured_by_gamma_draws(unvalidated):
    def draw(x, concentration):
        return x + dist.Gamma(concentration, 1.0)()

    zeros, one, ones = torch.zeros(5), torch.tensor(1.0), torch.ones(5)
    assert vmap(draw, (0, None), randomness="same")(zeros, one).unique().numel() == 1
    assert vmap(draw, (0, None), randomness="different")(zeros, one).unique().numel() == 5
    assert vmap(draw, randomness="different")(zeros, ones).unique().numel() == 5
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(draw)(zeros, ones)


def test_a_wishart_reads_no_values_and_warns_of_nothing(unvalidated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dist.Wishart(torch.tensor(2.5), torch.eye(3)).rsample((10,))
    assert_close(
        dist.Wishart(5, torch.eye(3).expand(2, 3, 3)).mean, 5 * torch.eye(3).expand(2, 3, 3)
    )


def test_a_wishart_is_reached_from_unconstrained_space():
    d = dist.Wishart(torch.tensor(4.0), torch.eye(3))
    assert d.support.check(dist.biject_to(d.support)(torch.randn(7, 6))).all()


@pytest.mark.parametrize("probs", [1.5, -0.1])
def test_validation_can_be_declined_for_one_continuous_bernoulli(probs):
    with validation_enabled():
        dist.ContinuousBernoulli(torch.tensor(probs), validate_args=False)
        with pytest.raises(ValueError, match="probs"):
            dist.ContinuousBernoulli(torch.tensor(probs), validate_args=True)


BAD_ARGUMENTS = [
    lambda: dist.Normal(0.0, torch.tensor(-1.0)),
    lambda: dist.Beta(torch.tensor(-1.0), 1.0),
    lambda: dist.Dirichlet(torch.tensor([1.0, -1.0])),
    lambda: dist.Wishart(torch.tensor(1.0), torch.eye(3)),
    lambda: dist.Pareto(torch.tensor(-1.0), 1.0),
    lambda: dist.GeneralizedPareto(0.0, torch.tensor(-1.0), 0.1),
    lambda: dist.LowRankMultivariateNormal(torch.zeros(2), torch.ones(2, 1), -torch.ones(2)),
    lambda: dist.VonMises(0.0, torch.tensor(-1.0)),
    lambda: dist.Normal(0.0, 1.0).log_prob(torch.tensor(math.nan)),
    lambda: dist.Geometric(torch.tensor(0.5)).log_prob(torch.tensor(-1.0)),
    lambda: dist.Multinomial(3, torch.ones(2)).log_prob(torch.tensor([3.0, 1.0])),
    lambda: dist.Pareto(1.0, 2.0).log_prob(torch.tensor(0.5)),
    lambda: dist.Weibull(1.0, 2.0).log_prob(torch.tensor(-0.5)),
    lambda: dist.InverseGamma(1.0, 2.0).log_prob(torch.tensor(-0.5)),
    lambda: dist.GeneralizedPareto(0.0, 1.0, 0.1).log_prob(torch.tensor(-0.5)),
    lambda: dist.VonMises(0.0, torch.tensor(1.0)).log_prob(torch.tensor(math.nan)),
]


@pytest.mark.parametrize("call", BAD_ARGUMENTS)
def test_validation_refuses_bad_arguments_and_values_and_can_be_switched_off(call):
    with validation_enabled(), pytest.raises(ValueError, match="Expected"):
        call()
    with validation_enabled(False):
        call()


def test_infer_shapes_follows_the_constraints():
    assert dist.Uniform.infer_shapes(low=(3, 1), high=(2,)) == ((3, 2), ())
    assert dist.Categorical.infer_shapes(probs=(3, 4)) == ((3,), ())
    assert dist.MultivariateNormal.infer_shapes(loc=(5, 2), scale_tril=(2, 2)) == ((5,), (2,))
    assert dist.Dirichlet.infer_shapes(concentration=(5, 2)) == ((5,), (2,))
