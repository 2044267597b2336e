"""Guides over one vector of all latent sites: exact posteriors, and laws of the family."""

import copy
import math
import pickle
from functools import partial

import pytest
import torch
from torch.distributions import biject_to
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.optim as optim
import ppl.poutine as poutine
from ppl.errors import NotFiniteError, ShapeError, SiteError, SupportError, UnsupportedModelError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import (
    AutoContinuous,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormalizingFlow,
    init_to_value,
)
from ppl.infer.reparam import NeuTraReparam
from ppl.poutine.util import prune_subsample_sites


def flow(model, **kwargs):
    return AutoNormalizingFlow(model, partial(dist.transforms.spline, bound=8.0), **kwargs)


def iaf(model, **kwargs):
    return AutoIAFNormal(model, hidden_dim=8, num_transforms=2, **kwargs)


NORMALS = [
    AutoDiagonalNormal,
    AutoMultivariateNormal,
    AutoLowRankMultivariateNormal,
    AutoGaussian,
]
FLOWS = [flow, iaf]
NOISY = [*NORMALS, *FLOWS]  # those with a density
GUIDES = [*NOISY, AutoLaplaceApproximation]

every_guide = pytest.mark.parametrize("make", GUIDES, ids=lambda make: make.__name__)
every_noisy = pytest.mark.parametrize("make", NOISY, ids=lambda make: make.__name__)
every_normal = pytest.mark.parametrize("make", NORMALS, ids=lambda make: make.__name__)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def mixed(dtype=torch.float32):
    """Sites of several supports, in and out of plates."""

    def model():
        one = torch.ones((), dtype=dtype)
        a = ppl.sample("a", dist.Normal(0 * one, one))
        ppl.sample("simplex", dist.Dirichlet(torch.ones(3, dtype=dtype)))
        with ppl.plate("cols", 4, dim=-2):
            ppl.sample("positive", dist.Gamma(2 * one, one))
            with ppl.plate("rows", 3, dim=-1):
                ppl.sample("corr", dist.LKJCholesky(2, one))
        ppl.sample("y", dist.Normal(a, one), obs=one)

    return model


DIM = 1 + 2 + 4 + 12


def test_all_sites_are_one_vector_in_the_order_of_the_model():
    guide = AutoDiagonalNormal(mixed())
    guide.setup()
    assert guide.latent_dim == DIM
    assert guide.layout.names == ("a", "simplex", "positive", "corr")
    assert dict(guide.named_parameters()).keys() == {"loc", "scale_unconstrained"}


@every_guide
def test_draws_have_the_shapes_supports_and_dtype_of_the_sites(make):
    for dtype in (torch.float32, torch.float64):
        ppl.clear_param_store()
        guide = make(mixed(dtype))
        prototype = prune_subsample_sites(poutine.trace(mixed(dtype)).get_trace())
        for values in (guide(), guide.median()):
            for name, site in prototype.iter_stochastic_nodes():
                assert values[name].shape == site["value"].shape
                assert values[name].dtype == dtype
                assert site["fn"].support.check(values[name]).all()
        assert {p.dtype for p in guide.parameters()} == {dtype}


@every_noisy
def test_the_density_of_the_trace_is_that_of_the_posterior_and_the_transforms(make):
    guide = make(mixed(torch.float64))
    trace = poutine.trace(guide).get_trace()
    latent = trace.nodes[f"_{guide._pyro_name}_latent"]["value"]
    density = guide.get_posterior().log_prob(latent)
    for name, free in guide.layout.unpack(latent).items():
        transform = biject_to(guide.prototype_trace.nodes[name]["fn"].support)
        density = density - transform.log_abs_det_jacobian(free, transform(free)).sum()
        assert_close(trace.nodes[name]["value"], transform(free))
    assert_close(trace.log_prob_sum(), density)


@every_normal
def test_the_first_normal_has_the_first_scale_and_the_first_location(make):
    start = {"x": torch.tensor([1.0, 2.0, 5.0])}
    guide = make(
        lambda: ppl.sample("x", dist.LogNormal(torch.zeros(3), 1.0).to_event(1)),
        init_loc_fn=init_to_value(values=start),
        init_scale=0.3,
    )
    guide()
    posterior = guide.get_posterior()
    assert_close(posterior.stddev.detach(), torch.full((3,), 0.3))
    assert_close(posterior.mean.detach(), start["x"].log())


@pytest.mark.parametrize("make", [m for m in NOISY if m is not AutoLowRankMultivariateNormal])
def test_the_transform_maps_the_noise_to_the_posterior(make):
    guide = make(mixed(torch.float64))
    guide()
    noise = guide.get_base_dist().sample()
    transform = guide.get_transform()
    x = transform(noise)
    log_det = transform.log_abs_det_jacobian(noise, x).sum()
    assert_close(guide.get_posterior().log_prob(x), guide.get_base_dist().log_prob(noise) - log_det)


def test_low_rank_refuses_a_transform():
    guide = AutoLowRankMultivariateNormal(mixed())
    guide()
    with pytest.raises(NotImplementedError, match="AutoMultivariateNormal"):
        guide.get_transform()


# exact posteriors

LOC = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
TRIL = torch.tensor([[1.0, 0.0, 0.0], [-1.5, 0.5, 0.0], [0.3, 0.2, 2.0]], dtype=torch.float64)
COV = TRIL @ TRIL.T


def correlated():
    """A posterior that is normal, with sites of its own for two parts."""
    zero = torch.zeros(3, dtype=torch.float64)
    head = ppl.sample("head", dist.Normal(zero[:1], 1.0).mask(False).to_event(1))
    tail = ppl.sample("tail", dist.Normal(zero[:2], 1.0).mask(False).to_event(1))
    target = dist.MultivariateNormal(LOC, scale_tril=TRIL)
    ppl.factor("target", target.log_prob(torch.cat([head, tail])))


def closed_form_elbo(guide):
    """The expected log density of the normal target, and the entropy."""
    q = guide.get_posterior()
    precision = torch.cholesky_inverse(TRIL)
    gap = q.mean - LOC
    return -0.5 * (gap @ precision @ gap + (precision * q.covariance_matrix).sum()) + q.entropy()


@pytest.mark.parametrize(
    "make", [AutoMultivariateNormal, AutoLowRankMultivariateNormal, AutoGaussian]
)
def test_a_full_covariance_finds_a_correlated_posterior_exactly(make):
    guide = make(correlated, **({"rank": 3} if make is AutoLowRankMultivariateNormal else {}))
    guide.setup()
    optimizer = torch.optim.LBFGS(guide.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -closed_form_elbo(guide)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        posterior = guide.get_posterior()
        tolerance = (
            2e-2 if make is AutoLowRankMultivariateNormal else 1e-3
        )  # its diagonal is to be 0
        assert_close(posterior.mean, LOC, atol=tolerance, rtol=0)
        assert_close(posterior.covariance_matrix, COV, atol=tolerance, rtol=tolerance)
        deviation = guide.quantiles([0.5, 0.8413447460685429])
        spread = torch.cat([deviation["head"], deviation["tail"]], -1).diff(dim=0)[0]
        assert_close(spread, COV.diag().sqrt(), atol=tolerance, rtol=tolerance)


def test_laplace_of_a_normal_posterior_is_exact():
    guide = AutoLaplaceApproximation(correlated)
    guide.setup()
    with torch.no_grad():
        guide.loc.copy_(LOC)
    normal = guide.laplace_approximation()
    assert isinstance(normal, AutoMultivariateNormal)
    assert_close(normal.get_posterior().mean, LOC)
    assert_close(normal.get_posterior().covariance_matrix, COV)
    assert_close(guide.median()["head"], LOC[:1])


def test_laplace_is_on_the_unconstrained_scale():
    shape, rate = torch.tensor(4.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    guide = AutoLaplaceApproximation(
        lambda: ppl.sample("x", dist.Gamma(shape, rate)),
        init_loc_fn=init_to_value(values={"x": shape / rate}),  # the mode of the density of log x
    )
    normal = guide.laplace_approximation()
    assert_close(normal.get_posterior().variance, 1 / shape.reshape(1))


def test_laplace_finds_the_mode_by_svi():
    def model():
        ppl.sample("z", dist.Normal(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 2.0])).to_event(1))

    guide = AutoLaplaceApproximation(model)
    svi = SVI(model, guide, optim.Adam({"lr": 0.2}), Trace_ELBO())
    for _ in range(150):
        svi.step()
    assert_close(guide.median()["z"], torch.tensor([1.0, 2.0]), atol=0.05, rtol=0)


def test_laplace_where_there_is_no_mode_names_the_site():
    def model():
        ppl.sample("flat", dist.Normal(torch.zeros(2), 1.0).to_event(1).mask(False))
        ppl.sample("round", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    with pytest.raises(NotFiniteError, match="not positive definite.*smallest .* 0.*'flat'"):
        AutoLaplaceApproximation(model).laplace_approximation()


def test_laplace_of_a_subsample_warns_and_of_all_data_does_not(recwarn):
    def model(data, subsample_size=None):
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", len(data), subsample_size=subsample_size) as rows:
            ppl.sample("y", dist.Normal(mu, 1.0), obs=data[rows])

    guide = AutoLaplaceApproximation(model)
    guide.setup(torch.zeros(4), 2)
    posterior = guide.laplace_approximation(torch.zeros(4)).get_posterior()
    assert_close(posterior.variance, torch.tensor([1 / 5]))
    assert not recwarn
    with pytest.warns(UserWarning, match="'rows'.* are subsampled"):
        guide.laplace_approximation(torch.zeros(4), 2)


@every_noisy
def test_quantiles_are_those_of_draws(make):
    guide = make(
        lambda: ppl.sample("x", dist.LogNormal(torch.zeros(2), 1.0).to_event(1)),
        **({"init_scale": 0.5} if make in NORMALS else {}),
    )
    levels = [0.1, 0.5, 0.9]
    num_draws = 20_000
    draws = Predictive(guide, num_samples=num_draws, parallel=True, return_sites=["x"])()["x"]
    below = (draws.unsqueeze(1) <= guide.quantiles(levels)["x"]).double().mean(0)
    error = 4.5 * math.sqrt(0.25 / num_draws + (0.25 / 10_000 if make in FLOWS else 0))  # 1e-4
    assert_close(below, torch.tensor(levels).double()[:, None].expand(3, 2), atol=error, rtol=0)
    assert_close(guide.median()["x"], guide.quantiles([0.5])["x"][0])


def test_levels_that_are_no_probabilities_are_refused():
    guide = AutoDiagonalNormal(correlated)
    guide()
    for wrong in ([1.5], 0.5, [math.nan], ["a"]):
        with pytest.raises(SupportError, match="probabilities between 0 and 1"):
            guide.quantiles(wrong)


# plates


def local_model(data, subsample_size=None):
    mu = ppl.sample("mu", dist.Normal(0.0, 10.0))
    with ppl.plate("data", len(data), subsample_size=subsample_size) as index:
        z = ppl.sample("z", dist.LogNormal(mu, 1.0))
        ppl.sample("x", dist.Normal(z, 1.0), obs=data[index])


@every_guide
def test_subsampled_plates_have_parameters_for_every_element(make):
    data = torch.randn(10)
    guide = make(local_model)
    trace = poutine.trace(guide).get_trace(data, 4)
    index = trace.nodes["data"]["value"]
    assert guide.latent_dim == 11
    latent = trace.nodes[f"_{guide._pyro_name}_latent"]["value"]
    assert_close(trace.nodes["z"]["value"], latent[1:][index].exp())
    model = poutine.replay(local_model, trace=trace)
    assert poutine.trace(model).get_trace(data, 4).nodes["data"]["value"].equal(index)
    assert guide.median()["z"].shape == (10,)


@every_noisy
def test_the_density_of_subsamples_is_unbiased(make):
    data = torch.randn(4)
    guide = make(local_model)
    guide(data, 2)
    latent = guide.get_posterior().sample()
    name = f"_{guide._pyro_name}_latent"

    def jacobian(indices):
        guide.create_plates = lambda *_: ppl.plate("data", 4, subsample=indices, dim=-1)
        trace = poutine.trace(poutine.condition(guide, {name: latent})).get_trace(data, 2)
        return trace.log_prob_sum(lambda name, site: name == "z")

    pairs = torch.combinations(torch.arange(4))
    mean = torch.stack([jacobian(pair) for pair in pairs]).mean()
    assert_close(mean, jacobian(torch.arange(4)))


@every_guide
def test_particles_in_a_plate_are_drawn_together(make):
    guide = make(mixed())
    draws = Predictive(guide, num_samples=7, parallel=True)()
    assert draws["corr"].shape == (7, 4, 3, 2, 2)
    assert draws["a"].shape[0] == 7
    if make is not AutoLaplaceApproximation:
        assert not draws["corr"][0].equal(draws["corr"][1])


@every_noisy
def test_vectorized_particles_have_the_loss_of_single_ones(make):
    guide = make(mixed(torch.float64))
    guide()
    num = 2000
    elbo = Trace_ELBO(num_particles=num, vectorize_particles=True)
    together = torch.tensor(elbo.loss(mixed(torch.float64), guide))
    singles = torch.tensor([Trace_ELBO().loss(mixed(torch.float64), guide) for _ in range(200)])
    assert (together - singles.mean()).abs() < 4.5 * singles.std() * math.sqrt(1 / 200 + 1 / num)


# state


@every_guide
def test_two_guides_of_one_class_are_apart(make):
    first, second = make(mixed()), make(mixed())
    first(), second()
    assert first._pyro_name != second._pyro_name
    with torch.no_grad():
        next(second.parameters()).add_(1.0)
    assert not next(first.parameters()).equal(next(second.parameters()))


@every_normal
def test_a_guide_keeps_what_it_says_when_another_takes_its_name(make):
    guide = make(correlated)
    guide()
    expected = guide.quantiles([0.5, 0.9])
    ppl.clear_param_store()
    other = make(correlated)
    other()
    with torch.no_grad():
        other.loc.add_(1.0)
    for name, value in guide.quantiles([0.5, 0.9]).items():
        assert_close(value, expected[name])


@every_guide
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_copy_says_the_same_and_is_independent(make, duplicate):
    guide = AutoIAFNormal(correlated, 8) if make is iaf else make(correlated)
    guide()
    twin = duplicate(guide)
    for name, value in guide.median().items():
        assert_close(twin.median()[name], value)
    twin()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert not twin.median()["head"].equal(guide.median()["head"])


@every_guide
def test_a_state_loads_before_and_after_the_first_call(make):
    guide = make(correlated)
    guide()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.1)
    expected = guide.median()
    for is_called in (False, True):
        ppl.clear_param_store()
        fresh = make(correlated)
        if is_called:
            fresh()
        fresh.load_state_dict(guide.state_dict())
        fresh()
        for name, value in expected.items():
            assert_close(fresh.median()[name], value)


@every_guide
def test_a_store_loads_before_and_after_the_first_call(make, tmp_path):
    guide = make(correlated)
    guide()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.1)
    expected = {name: x.clone() for name, x in guide.median().items()}
    ppl.get_param_store().save(tmp_path / "params")
    for is_called in (False, True):
        ppl.clear_param_store()
        fresh = make(correlated)
        if is_called:
            fresh()
            ppl.clear_param_store()
        ppl.get_param_store().load(tmp_path / "params")
        if not is_called:
            fresh()
        for name, value in expected.items():
            assert_close(fresh.median()[name], value)


@every_normal
def test_a_state_of_another_number_of_sites_is_refused(make):
    guide = make(correlated)
    guide()
    state = guide.state_dict()
    for load in ("state", "store"):
        fresh = make(mixed())
        if load == "state":
            ppl.clear_param_store()
            fresh.load_state_dict(state)
        else:
            guide = make(correlated)
            ppl.clear_param_store()
            ppl.param(f"{make.__name__}.loc", torch.zeros(3))
        with pytest.raises(ShapeError, match=f"3 components, but .* has {DIM}, .*'simplex'"):
            fresh()


def test_parameters_are_there_after_setup():
    guide = AutoMultivariateNormal(local_model)
    guide.setup(torch.zeros(4))
    assert sum(p.numel() for p in guide.parameters()) == 5 + 5 + 25
    other = AutoMultivariateNormal(local_model)
    other.setup(torch.zeros(4))
    assert other._pyro_name != guide._pyro_name


@every_guide
def test_a_model_without_latent_sites_is_refused(make):
    def model():
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))

    with pytest.raises(UnsupportedModelError, match="no latent site") as caught:
        make(model)()
    assert isinstance(caught.value, RuntimeError)


@every_guide
def test_a_discrete_site_is_refused(make):
    with pytest.raises(SiteError, match="'k' is discrete"):
        make(lambda: ppl.sample("k", dist.Bernoulli(0.5)))()


@every_guide
def test_a_guide_that_never_saw_its_model_says_so(make):
    with pytest.raises(SiteError, match="call the guide once"):
        make(correlated).median()


@pytest.mark.parametrize("make", [AutoDiagonalNormal, AutoMultivariateNormal, AutoGaussian, iaf])
def test_neutra_has_the_density_of_the_model_at_the_draws_of_the_guide(make):
    guide = make(correlated)
    guide()
    neutra = NeuTraReparam(guide)
    trace = poutine.trace(neutra.reparam(correlated)).get_trace()
    latent = trace.nodes["head_shared_latent"]["value"]
    values = neutra.transform_sample(latent)
    plain = poutine.trace(poutine.condition(correlated, values)).get_trace().log_prob_sum()
    transform = guide.get_transform()
    log_det = transform.log_abs_det_jacobian(latent, transform(latent)).sum()
    assert_close(trace.log_prob_sum(), plain + log_det)


def test_a_family_of_ones_own_needs_one_method():
    class Heavy(AutoContinuous):
        def _setup_latent(self, loc):
            self.loc = torch.nn.Parameter(loc)

        def get_posterior(self, *args, **kwargs):
            return dist.StudentT(5.0, self.loc, 1.0).to_event(1)

    guide = Heavy(mixed())
    assert guide()["corr"].shape == (4, 3, 2, 2)


@pytest.mark.parametrize(
    "options", [{"hidden_dim": 0}, {"hidden_dim": [4, -1]}, {"num_transforms": 0}], ids=str
)
def test_sizes_of_a_flow_that_are_not_positive_are_refused(options):
    with pytest.raises(SiteError, match=f"{next(iter(options))} must be"):
        AutoIAFNormal(correlated, **options)


@pytest.mark.parametrize("rank", [0, 1.5, "two"])
def test_a_rank_that_is_not_positive_is_refused(rank):
    with pytest.raises(SiteError, match="rank must be"):
        AutoLowRankMultivariateNormal(correlated, rank=rank)
