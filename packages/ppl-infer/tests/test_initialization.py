"""Where inference starts."""

import pytest
import torch

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import PPLWarning, ShapeError
from ppl.infer.initialization import (
    InitMessenger,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
    warn_of_unknown_sites,
)
from ppl.primitives import sample

STRATEGIES = [init_to_feasible, init_to_sample, init_to_median, init_to_mean, init_to_uniform]
PRIORS = {
    "real": dist.Normal(torch.zeros(3), 1.0),
    "positive": dist.Gamma(2.0, torch.ones(3)),
    "heavy": dist.Cauchy(torch.zeros(3), 1.0),
    "interval": dist.Uniform(-torch.ones(3), torch.ones(3)),
    "simplex": dist.Dirichlet(torch.ones(2, 4)),
    "improper": dist.Normal(torch.zeros(3), 1.0).to_event(1).mask(False),
    "matrix": dist.LKJCholesky(3, 2.0),
    "discrete": dist.Bernoulli(torch.full((3,), 0.3)),
}


def site_of(fn, name="x"):
    return poutine.trace(lambda: ppl.sample(name, fn)).get_trace().nodes[name]


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.__name__)
def test_every_strategy_gives_a_value_in_the_support_of_the_right_shape(strategy, prior):
    fn = PRIORS[prior]
    value = strategy(site_of(fn))
    assert value.shape == fn.shape()
    assert fn.support.check(value).all()
    assert value.isfinite().all()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.__name__)
def test_a_strategy_without_a_site_is_the_strategy(strategy):
    fn = PRIORS["positive"]
    assert strategy()(site_of(fn)).shape == fn.shape()


def test_the_median_follows_the_prior_and_the_feasible_point_does_not():
    site = site_of(dist.Normal(100.0, 0.001))
    assert abs(init_to_median(site).item() - 100.0) < 0.1
    assert init_to_feasible(site).item() == 0.0


def test_the_mean_of_a_heavy_tail_falls_back_to_the_median():
    assert init_to_mean(site_of(PRIORS["heavy"])).isfinite().all()


@pytest.mark.parametrize("strategy", [init_to_feasible, init_to_uniform], ids=lambda s: s.__name__)
@pytest.mark.parametrize(
    "support, shape",
    [(dist.constraints.ordered_vector, (3,)), (dist.constraints.simplex, (4,))],
    ids=str,
)
def test_an_improper_prior_without_draws_has_a_start_in_its_support(strategy, support, shape):
    fn = dist.ImproperUniform(support, (2,), shape)
    value = strategy({"name": "x", "fn": fn})
    assert value.shape == fn.shape()
    assert support.check(value).all()


def test_uniform_draws_stay_within_the_radius():
    draws = init_to_uniform(site_of(dist.Normal(torch.full((1000,), 50.0), 1.0)), radius=0.5)
    assert draws.abs().max() <= 0.5
    assert draws.std() > 0.2


def test_given_values_come_first_and_the_fallback_serves_the_rest():
    strategy = init_to_value(values={"x": 3.0}, fallback=init_to_feasible)
    assert strategy(site_of(dist.Normal(0.0, 1.0))).item() == 3.0
    assert strategy(site_of(dist.Normal(9.0, 1.0), name="y")).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [3, 3.0, [3.0]])
def test_a_given_number_has_the_dtype_of_a_draw(value, dtype):
    prior = dist.Normal(torch.zeros([1] * isinstance(value, list), dtype=dtype), 1.0)
    found = init_to_value(site_of(prior), values={"x": value})
    assert found.dtype == dtype
    assert found.shape == prior.batch_shape
    assert (found == 3.0).all()


def test_a_given_tensor_keeps_its_dtype_and_a_category_stays_an_integer():
    double = torch.tensor(3.0, dtype=torch.float64)
    assert init_to_value(site_of(dist.Normal(0.0, 1.0)), values={"x": double}) is double
    category = init_to_value(site_of(dist.Categorical(torch.ones(4))), values={"x": 3})
    assert category.dtype == torch.long
    improper = dist.ImproperUniform(dist.constraints.real, (), ())
    assert init_to_value({"name": "x", "fn": improper}, values={"x": 3.0}) == 3.0


def test_a_generated_strategy_is_made_anew_for_each_execution():
    values = iter([1.0, 2.0])
    strategy = init_to_generated(
        generate=lambda: init_to_value(values=dict.fromkeys("ab", next(values)))
    )
    a, b = site_of(dist.Normal(0.0, 1.0), "a"), site_of(dist.Normal(0.0, 1.0), "b")
    assert [strategy(site).item() for site in (a, b, a, b)] == [1.0, 1.0, 2.0, 2.0]


def test_the_messenger_replaces_draws_and_leaves_observations_and_plates_alone():
    def model():
        with ppl.plate("data", 5, subsample_size=2):
            ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(0.0, 1.0), obs=torch.ones(2))

    with InitMessenger(lambda site: torch.full(site["fn"].shape(), 4.0)):
        trace = poutine.trace(model).get_trace()
    assert trace.nodes["z"]["value"].tolist() == [4.0, 4.0]
    assert trace.nodes["x"]["value"].tolist() == [1.0, 1.0]
    assert len(trace.nodes["data"]["value"]) == 2


def test_a_value_of_the_wrong_shape_names_the_site():
    with (
        pytest.raises(ShapeError, match=r"'x'.*\(2,\).*\(3,\)"),
        InitMessenger(lambda site: torch.zeros(2)),
    ):
        ppl.sample("x", dist.Normal(torch.zeros(3), 1.0))


def test_a_value_for_a_site_that_does_not_exist_is_warned_about():
    trace = poutine.trace(lambda: sample("alpha", dist.Normal(0.0, 1.0))).get_trace()
    strategy = init_to_value(values={"alhpa": 1.0, "alpha": 2.0})
    with pytest.warns(PPLWarning, match="'alhpa', which is no site .*did you mean 'alpha'") as seen:
        warn_of_unknown_sites(strategy, trace)
    assert len(seen) == 1


def test_values_of_a_fallback_are_looked_at_too(recwarn):
    trace = poutine.trace(lambda: sample("alpha", dist.Normal(0.0, 1.0))).get_trace()
    inner = init_to_value(values={"beta": 1.0})
    warn_of_unknown_sites(init_to_value(values={"alpha": 2.0}, fallback=inner), trace)
    assert [str(w.message) for w in recwarn] == [
        "init_to_value has a value for 'beta', which is no site of the model"
    ]
