"""Automatic guides against exact posteriors, and their laws."""

import copy
import math

import pytest
import torch
from torch.distributions import biject_to

import ppl
import ppl.distributions as dist
import ppl.optim as optim
import ppl.poutine as poutine
from ppl.errors import SiteError, SupportError, UnsupportedModelError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoStructured,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)

PRIORS = {
    "real": dist.Normal(torch.zeros(3), 1.0).to_event(1),
    "batch": dist.Normal(torch.zeros(3), 1.0),
    "positive": dist.Gamma(2.0, torch.ones(3)).to_event(1),
    "interval": dist.Beta(2.0, torch.ones(2, 3)).to_event(2),
    "simplex": dist.Dirichlet(torch.ones(4)),
    "cholesky": dist.LKJCholesky(3, 1.0),
    "improper": dist.HalfNormal(1.0).mask(False),
}
GUIDES = [
    AutoNormal,
    AutoDelta,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoStructured,
]


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def fit(model, guide, *args, steps=1500, lr=0.05):
    svi = SVI(model, guide, optim.ClippedAdam({"lr": lr, "lrd": 0.01 ** (1 / steps)}), Trace_ELBO())
    for _ in range(steps):
        svi.step(*args)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("guide_type", GUIDES)
def test_samples_lie_in_the_support_and_have_the_shape_of_the_site(guide_type, prior):
    fn = PRIORS[prior]
    guide = guide_type(lambda: ppl.sample("x", fn))
    for value in (guide()["x"], guide.median()["x"]):
        assert value.shape == fn.shape()
        assert fn.support.check(value).all()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_the_density_of_autonormal_is_that_of_a_transformed_normal(prior):
    fn = PRIORS[prior]
    guide = AutoNormal(lambda: ppl.sample("x", fn), init_scale=0.7)
    trace = poutine.trace(guide).get_trace()
    value, free = trace.nodes["x"]["value"], trace.nodes["x_unconstrained"]["value"]
    transform = biject_to(fn.support)
    normal = torch.distributions.Normal(transform.inv(guide.median()["x"]), 0.7)
    jacobian = transform.log_abs_det_jacobian(free, value).sum()
    torch.testing.assert_close(
        trace.log_prob_sum(), normal.log_prob(free).sum() - jacobian, rtol=1e-4, atol=1e-4
    )


def test_autonormal_finds_a_diagonal_posterior_exactly():
    prior_scale, noise = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 2.0])
    data = torch.tensor([1.0, -2.0])

    def model():
        z = ppl.sample("z", dist.Normal(torch.zeros(2), prior_scale).to_event(1))
        ppl.sample("x", dist.Normal(z, noise).to_event(1), obs=data)

    guide = AutoNormal(model)
    fit(model, guide, steps=3000)
    precision = prior_scale**-2 + noise**-2
    with torch.no_grad():
        torch.testing.assert_close(
            guide.median()["z"], data * noise**-2 / precision, atol=0.02, rtol=0.02
        )
        torch.testing.assert_close(guide.scales.z, precision**-0.5, atol=0.02, rtol=0.03)


def test_autodelta_finds_the_mode():
    counts = torch.tensor([3.0, 1.0, 6.0])

    def model():
        p = ppl.sample("p", dist.Dirichlet(torch.full((3,), 2.0)))
        ppl.factor("likelihood", (counts * p.log()).sum())

    guide = AutoDelta(model)
    fit(model, guide, steps=1000)
    torch.testing.assert_close(
        guide.median()["p"], (counts + 1) / (counts + 1).sum(), atol=1e-3, rtol=1e-3
    )


def test_quantiles_are_images_of_normal_quantiles():
    guide = AutoNormal(
        lambda: ppl.sample("x", dist.LogNormal(torch.zeros(3), 1.0).to_event(1)), init_scale=0.5
    )
    guide()
    low, mid, high = guide.quantiles([0.05, 0.5, 0.95])["x"]
    torch.testing.assert_close(high.log(), torch.full((3,), 0.5 * 1.6448536))
    torch.testing.assert_close(low.log(), -high.log())
    torch.testing.assert_close(mid, guide.median()["x"])


@pytest.mark.parametrize("guide_type", GUIDES)
def test_the_strategy_chooses_the_first_value(guide_type):
    start = init_to_value(values={"x": torch.tensor(2.5)})
    guide = guide_type(lambda: ppl.sample("x", dist.LogNormal(0.0, 1.0)), init_loc_fn=start)
    guide()
    assert guide.median()["x"].item() == pytest.approx(2.5)


def test_parameters_carry_the_names_of_the_sites():
    AutoNormal(lambda: ppl.sample("a.b", dist.Normal(0.0, 1.0)))()
    assert set(ppl.get_param_store().keys()) == {"AutoNormal.locs.a.b", "AutoNormal.scales.a.b"}


def local_model(data, subsample_size=None):
    """A local latent for each datum, observed twice."""
    mu = ppl.sample("mu", dist.Normal(0.0, 10.0))
    with ppl.plate("data", len(data), subsample_size=subsample_size) as index:
        z = ppl.sample("z", dist.Normal(mu, 1.0))
        ppl.sample("x", dist.Normal(z, 1.0), obs=data[index])


@pytest.mark.parametrize("guide_type", GUIDES)
def test_subsampled_plates_have_parameters_for_every_element_and_share_indices_with_the_model(
    guide_type,
):
    data = torch.randn(10)
    guide = guide_type(local_model)
    trace = poutine.trace(guide).get_trace(data, subsample_size=4)
    model_trace = poutine.trace(poutine.replay(local_model, trace=trace)).get_trace(
        data, subsample_size=4
    )
    assert guide.median()["z"].shape == (10,)
    assert trace.nodes["z"]["value"].shape == (4,)
    assert model_trace.nodes["data"]["value"].equal(trace.nodes["data"]["value"])


def test_subsampling_finds_the_same_posterior_as_the_whole_data():
    data = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 4.0])

    def medians(subsample_size):
        ppl.clear_param_store()
        guide = AutoNormal(local_model)
        fit(local_model, guide, data, subsample_size, steps=4000)
        return guide.median()

    whole, part = medians(None), medians(3)
    torch.testing.assert_close(whole["mu"], part["mu"], atol=0.2, rtol=0.0)
    torch.testing.assert_close(whole["z"], part["z"], atol=0.25, rtol=0.0)


@pytest.mark.parametrize("guide_type", GUIDES)
def test_subsamples_have_the_size_that_the_arguments_say(guide_type):
    data = torch.randn(10)
    guide = guide_type(local_model)
    for size, expected in ((4, 4), (None, 10), (3, 3), (4, 4)):
        assert guide(data, size)["z"].shape == (expected,)


def test_plates_of_the_user_replace_those_of_the_guide():
    chosen = torch.tensor([7, 2])
    guide = AutoNormal(
        local_model, create_plates=lambda *_: ppl.plate("data", 10, subsample=chosen, dim=-1)
    )
    guide(torch.randn(10), 2)
    assert guide.plates["data"].indices.equal(chosen)


def test_predictive_draws_of_a_guide_have_its_moments():
    guide = AutoNormal(
        lambda: ppl.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1)), init_scale=0.3
    )
    draws = Predictive(guide, num_samples=4000, return_sites=("x",), parallel=True)()["x"]
    assert draws.shape == (4000, 2)
    assert (draws.mean(0).abs() < 4 * 0.3 / math.sqrt(4000)).all()  # 1e-4
    assert ((draws.std(0) / 0.3 - 1).abs() < 4 / math.sqrt(2 * 4000)).all()


@pytest.mark.parametrize("guide_type", GUIDES)
def test_a_copy_is_independent_and_equal(guide_type):
    guide = guide_type(lambda: ppl.sample("x", dist.Normal(0.0, 1.0)))
    guide()
    twin = copy.deepcopy(guide)
    assert twin.median()["x"].equal(guide.median()["x"])
    with torch.no_grad():
        next(iter(twin.parameters())).add_(1.0)
    assert not twin.median()["x"].equal(guide.median()["x"])


@pytest.mark.parametrize("guide_type", GUIDES)
def test_a_discrete_site_is_refused_with_what_to_do(guide_type):
    with pytest.raises(SiteError, match="'k' is discrete.*hide="):
        guide_type(lambda: ppl.sample("k", dist.Bernoulli(0.5)))()


@pytest.mark.parametrize("guide_type", GUIDES)
def test_a_sequential_plate_is_refused(guide_type):
    def model():
        for i in ppl.plate("data", 2):
            ppl.sample(f"x_{i}", dist.Normal(0.0, 1.0))

    with pytest.raises(SiteError, match="'x_0' is inside the sequential plate 'data'"):
        guide_type(model)()


def test_a_guide_that_never_saw_its_model_says_so():
    with pytest.raises(SiteError, match="call the guide once"):
        AutoNormal(lambda: ppl.sample("x", dist.Normal(0.0, 1.0))).median()


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, torch.ones(2)])
def test_a_scale_that_is_no_positive_number_is_refused(scale):
    with pytest.raises(SupportError, match="init_scale"):
        AutoNormal(lambda: None, init_scale=scale)


@pytest.mark.parametrize("guide_type", GUIDES)
def test_a_model_whose_sites_change_is_refused(guide_type):
    def fickle():
        a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
        ppl.sample("b", dist.Normal(torch.zeros(int((a > 1.0).sum()) + 1), 1.0).to_event(1))

    guide = guide_type(fickle)
    for _ in range(2):
        with pytest.raises(UnsupportedModelError, match="change from run to run: \\['b'\\]"):
            guide()


@pytest.mark.parametrize(
    "guide_type", [g for g in GUIDES if g is not AutoLowRankMultivariateNormal]
)
def test_a_look_at_the_structure_changes_no_draws(guide_type):
    def program():
        return ppl.sample("a", dist.Normal(0.0, 1.0))

    draws = []
    for is_set_up in (False, True):
        ppl.clear_param_store()
        guide = guide_type(program, init_loc_fn=init_to_value(values={"a": torch.ones(())}))
        if is_set_up:
            guide.setup()
        ppl.set_rng_seed(1)
        draws.append(guide()["a"])
    assert draws[0].equal(draws[1])


@pytest.mark.parametrize(
    "strategy",
    [
        init_to_feasible,
        init_to_generated(generate=lambda: init_to_uniform),
        init_to_mean,
        init_to_median,
        init_to_sample,
        init_to_uniform,
        init_to_value(values={"x": torch.full((3,), 0.3)}),
    ],
)
@pytest.mark.parametrize("guide_type", GUIDES)
def test_every_strategy_is_where_a_guide_starts(guide_type, strategy):
    starts = []

    def recording(site):
        value = strategy(site)
        starts.append(value)
        return value

    guide = guide_type(
        lambda: ppl.sample("x", dist.Beta(2.0, torch.ones(3)).to_event(1)), init_loc_fn=recording
    )
    guide()
    torch.testing.assert_close(guide.median()["x"], starts[0])


def test_deterministic_values_of_the_model_are_in_predictions():
    def model():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.deterministic("twice", 2 * x)

    for guide_type in GUIDES:
        draws = Predictive(model, guide=guide_type(model), num_samples=5)()
        torch.testing.assert_close(draws["twice"], 2 * draws["x"])


@pytest.mark.parametrize("make", GUIDES)
def test_a_misspelt_option_is_answered_with_the_nearest(make):
    with pytest.raises(TypeError, match="no argument 'init_loc_f'; did you mean 'init_loc_fn'"):
        make(lambda: None, init_loc_f=None)
    with pytest.raises(TypeError, match="no argument 'valuse'; did you mean 'values'"):
        init_to_value(valuse={})
