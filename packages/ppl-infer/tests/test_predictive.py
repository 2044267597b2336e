"""Predictive draws."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import MissingSiteError, PPLWarning, ShapeError, SiteError
from ppl.infer import Predictive
from ppl.infer.site_shapes import check_counted_once, check_declared


def model(data=None):
    """Event and batch dimensions, plates, a deterministic site and a factor."""
    weights = ppl.sample("weights", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    scale = ppl.sample("scale", dist.Exponential(1.0))
    ppl.deterministic("double", 2 * scale)
    ppl.factor("factor", torch.tensor(-1.0))
    with ppl.plate("columns", 4, dim=-1):
        effect = ppl.sample("effect", dist.Normal(0.0, scale))
        with ppl.plate("rows", 3, dim=-2):
            loc = effect + weights[..., 0]
            ppl.sample("x", dist.Normal(loc, scale), obs=data)


# each with as many batch dimensions as there are plates, so that results broadcast
SHAPES = {
    "weights": (1, 1, 2),
    "scale": (1, 1),
    "double": (1, 1),
    "effect": (1, 4),
    "x": (3, 4),
}


def posterior(num_draws):
    return {"weights": torch.randn(num_draws, 2), "scale": torch.rand(num_draws) + 0.5}


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)


@pytest.mark.parametrize("parallel", [False, True])
class TestBothWays:
    def test_prior_draws_have_the_shapes_of_the_sites(self, parallel):
        draws = Predictive(model, num_samples=5, parallel=parallel)()
        assert {name: tuple(x.shape) for name, x in draws.items()} == {
            name: (5, *shape) for name, shape in SHAPES.items()
        }

    def test_sites_of_the_posterior_are_not_returned_and_are_used(self, parallel):
        samples = posterior(6)
        draws = Predictive(model, samples, parallel=parallel)()
        assert set(draws) == {"double", "effect", "x"}
        torch.testing.assert_close(draws["double"].flatten(), 2 * samples["scale"])

    def test_the_noise_has_the_scale_of_its_draw(self, parallel):
        scale = torch.tensor([1e-6, 1.0, 100.0])
        samples = {"weights": torch.zeros(3, 2), "scale": scale, "effect": torch.zeros(3, 4)}
        x = Predictive(model, samples, parallel=parallel)()["x"]
        assert x.shape == (3, 3, 4)
        ratio = x.flatten(1).pow(2).mean(1).sqrt() / scale
        # a mean of 12 squared normals: chi-square with 12 degrees, within [0.2, 3] but for 1e-5
        assert ((ratio > 0.35) & (ratio < 1.9)).all()

    @pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 4)], ids=str)
    def test_samples_are_returned_in_the_shape_of_their_site(self, parallel, shape):
        samples = {"effect": torch.randn(3, *shape)}
        draws = Predictive(model, samples, return_sites=["effect"], parallel=parallel)()
        padded = samples["effect"].reshape(3, *(1,) * (2 - len(shape)), *shape)
        torch.testing.assert_close(draws["effect"], padded.expand(3, 1, 4))

    def test_return_sites_restricts(self, parallel):
        draws = Predictive(model, num_samples=3, return_sites=("x", "scale"), parallel=parallel)()
        assert set(draws) == {"x", "scale"}

    def test_return_sites_none_returns_everything(self, parallel):
        draws = Predictive(model, posterior(3), return_sites=None, parallel=parallel)()
        assert set(draws) == set(SHAPES)

    def test_an_observed_site_is_returned_as_observed(self, parallel):
        data = torch.arange(12.0).reshape(3, 4)
        with pytest.warns(PPLWarning, match=r"sites \['x'\] are observed"):
            draws = Predictive(model, posterior(2), parallel=parallel)(data)
        torch.testing.assert_close(draws["x"], data.expand(2, 3, 4))

    def test_a_guide_supplies_the_latent_sites(self, parallel):
        def guide():
            ppl.sample("scale", dist.Delta(torch.tensor(7.0)))

        draws = Predictive(model, guide=guide, num_samples=4, parallel=parallel)()
        assert (draws["scale"] == 7.0).all()
        assert set(draws) == set(SHAPES)

    def test_a_model_without_latent_dependence_is_repeated(self, parallel):
        draws = Predictive(
            lambda: ppl.deterministic("c", torch.arange(3.0)), num_samples=2, parallel=parallel
        )()
        assert draws["c"].tolist() == [[0.0, 1.0, 2.0]] * 2


def regression(x, y=None):
    """Needs a dot product with the draw, and derives values whose length is that of the data."""
    beta = ppl.sample("beta", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    mean = ppl.deterministic("mean", x @ beta)
    with ppl.plate("rows", len(x)):
        ppl.sample("y", dist.Normal(mean, 1e-4), obs=y)
    return mean


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("num_rows", [3, 7])
class TestValuesThatAreDerived:
    """Law: each draw of the result is what the model makes of that draw, with these arguments."""

    def test_are_computed_anew(self, parallel, num_rows, recwarn):
        x, beta = torch.randn(num_rows, 2), torch.randn(7, 2)
        stale = {"beta": beta, "mean": torch.full((7, 20), 1e6)}  # of twenty other rows
        draws = Predictive(regression, stale, parallel=parallel)(x)
        assert draws["mean"].shape == (7, 1, num_rows)
        torch.testing.assert_close(draws["mean"].squeeze(1), beta @ x.T)
        torch.testing.assert_close(draws["y"], beta @ x.T, atol=1e-3, rtol=0)
        assert not recwarn

    def test_may_be_what_the_model_returns(self, parallel, num_rows):
        x, beta = torch.randn(num_rows, 2), torch.randn(7, 2)
        predictive = Predictive(
            regression, {"beta": beta}, return_sites=("y", "_RETURN"), parallel=parallel
        )
        draws = predictive(x)
        assert set(draws) == {"y", "_RETURN"}
        torch.testing.assert_close(draws["_RETURN"], beta @ x.T)


@pytest.mark.parametrize("parallel", [False, True])
class TestNamesAndSizes:
    """Law: what is passed is used, or refused by name; there is no third."""

    def test_no_draws_give_empty_results(self, parallel):
        draws = Predictive(model, num_samples=0, parallel=parallel)()
        assert {name: tuple(x.shape) for name, x in draws.items()} == {
            name: (0, *shape) for name, shape in SHAPES.items()
        }

    def test_draws_of_another_predictive_fit(self, parallel):
        first = Predictive(model, num_samples=4, return_sites=("weights", "scale"))()
        draws = Predictive(model, first, parallel=parallel)()
        torch.testing.assert_close(draws["double"], 2 * first["scale"])

    @pytest.mark.parametrize("name", ["SCALE", "scal", "wieghts"])
    def test_a_misspelt_site_gets_the_nearest(self, parallel, name):
        right = "weights" if name[0] == "w" else "scale"
        samples = posterior(3)
        samples[name] = samples.pop(right)
        with pytest.raises(MissingSiteError, match=f"'{name}'; did you mean '{right}'"):
            Predictive(model, samples, parallel=parallel)()
        with pytest.raises(MissingSiteError, match=f"'{name}'; did you mean '{right}'"):
            Predictive(model, num_samples=2, return_sites=[name], parallel=parallel)()

    def test_samples_of_unknown_sites_alone_are_refused(self, parallel):
        with pytest.raises(MissingSiteError, match="'tau'"):
            Predictive(model, {"tau": torch.zeros(3)}, parallel=parallel)()

    def test_sites_of_a_guide_are_no_misspelling(self, parallel, recwarn):
        extra = {"scale_unconstrained": torch.zeros(3), "_auto_latent": torch.zeros(3, 3)}
        Predictive(model, {**posterior(3), **extra}, parallel=parallel)()
        assert not recwarn

    def test_draws_of_other_rows_are_refused(self, parallel):
        samples = {**posterior(3), "effect": torch.zeros(3, 9)}
        with pytest.raises(ShapeError, match=r"'effect'.* \(9,\).* \(4,\)"):
            Predictive(model, samples, parallel=parallel)()

    def test_observations_that_broadcast_are_refused(self, parallel):
        with pytest.raises(ShapeError, match="site 'y': its 10 observations.* counted 10 times"):
            Predictive(regression, num_samples=2, parallel=parallel)(
                torch.randn(10, 2), torch.randn(10, 1)
            )


def test_a_branch_on_a_value_runs_draw_by_draw_and_says_why():
    def branching():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        return ppl.deterministic("sign", z if z > 0 else -z)

    samples = {"z": torch.tensor([-1.0, 2.0, -3.0])}
    with pytest.warns(PPLWarning, match="run one after another"):
        draws = Predictive(branching, samples, parallel=True)()
    assert draws["sign"].tolist() == [1.0, 2.0, 3.0]


def test_what_is_no_tensor_cannot_be_returned():
    with pytest.raises(SiteError, match="'_RETURN' must be a tensor"):
        Predictive(model, num_samples=2, return_sites=["_RETURN"])()


def test_a_copy_draws_the_same_and_shows_what_it_is():
    predictive = Predictive(model, posterior(3))
    for twin in (copy.deepcopy(predictive), pickle.loads(pickle.dumps(predictive))):
        ppl.set_rng_seed(1)
        expected = predictive()["x"]
        ppl.set_rng_seed(1)
        torch.testing.assert_close(twin()["x"], expected)
    assert "posterior_samples={'weights': (3, 2), 'scale': (3,)}" in repr(predictive)


@pytest.mark.parametrize("num", [-1, 2.5, "3", True])
def test_a_number_of_draws_that_is_none_is_refused(num):
    with pytest.raises(SiteError, match="num_samples"):
        Predictive(model, num_samples=num)


def test_call_returns_a_tuple_in_the_order_of_the_names():
    values = Predictive(lambda: ppl.sample("x", dist.Normal(0.0, 1.0)), num_samples=2).call()
    assert isinstance(values, tuple)
    assert values[0].shape == (2,)


def test_the_vectorized_trace_holds_all_draws():
    trace = Predictive(model, posterior(5)).get_vectorized_trace()
    assert trace.nodes["x"]["value"].shape == (5, 3, 4)


def test_draws_of_different_number_are_refused_by_name():
    with pytest.raises(ShapeError, match="'a': 2, 'b': 3"):
        Predictive(model, {"a": torch.zeros(2), "b": torch.zeros(3)})


def test_a_useless_number_of_samples_is_reported():
    with pytest.warns(PPLWarning, match="num_samples=3 is ignored"):
        Predictive(model, posterior(2), num_samples=3)


@pytest.mark.parametrize(
    "options", [{}, {"posterior_samples": {"a": torch.zeros(2)}, "guide": model}]
)
def test_nonsense_is_refused(options):
    with pytest.raises(SiteError, match="posterior_samples"):
        Predictive(model, **options)


def test_a_misspelt_option_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match="no argument 'num_sample'; did you mean 'num_samples'"):
        Predictive(model, num_sample=3)


def event_in_plate(y):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", 10):
        ppl.sample("y", dist.Normal(z.expand(10), 1.0).to_event(1), obs=y)


@pytest.mark.parametrize("check", [check_declared, check_counted_once])
def test_an_event_of_the_size_of_its_plate_is_not_counted_for_each_element(check):
    def trace(y):
        found = poutine.trace(event_in_plate).get_trace(y)
        found.compute_log_prob()
        return found

    with pytest.raises(ShapeError, match=r"'y'.*counted 10 times.*plate 'rows'.*to_event"):
        check(trace(torch.zeros(10)))
    check(trace(torch.zeros(10, 10)))


# memory


def rows(x, y=None):
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0))
    with ppl.plate("row", len(x)):
        ppl.sample("y", dist.Normal(slope * x, 0.1), obs=y)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_draws_in_batches_are_those_of_the_samples(batch_size):
    samples = {"slope": torch.arange(7.0)}
    draw = Predictive(rows, samples, parallel=True, batch_size=batch_size)
    y = draw(torch.ones(1000))["y"]
    assert (y.mean(1) - samples["slope"]).abs().max() < 0.02  # six standard errors
    assert len(y[:, 0].unique()) == 7


@pytest.mark.parametrize("parallel", [False, True])
def test_batches_hold_a_part_of_the_draws_each(parallel):
    draw = Predictive(rows, {"slope": torch.arange(7.0)}, parallel=parallel)
    parts = [part["y"] for part in draw.batches(torch.ones(500), batch_size=3)]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert (torch.cat(parts).mean(1) - torch.arange(7.0)).abs().max() < 0.03


def test_batches_without_samples_are_of_the_prior():
    parts = list(Predictive(rows, num_samples=5).batches(torch.ones(4), batch_size=2))
    assert [len(part["slope"]) for part in parts] == [2, 2, 1]


@pytest.mark.parametrize("parallel", [False, True])
def test_observations_are_not_copied_for_each_draw(parallel):
    data = torch.zeros(10)
    draw = Predictive(rows, {"slope": torch.zeros(50)}, parallel=parallel, return_sites=["y"])
    with pytest.warns(PPLWarning, match="observed"):
        found = draw(torch.ones(10), data)["y"]
    assert found.shape == (50, 10)
    assert found.data_ptr() == data.data_ptr()


def test_an_observation_that_depends_on_a_draw_is_another_in_each():
    def centred():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("x", dist.Normal(0.0, 1.0), obs=1.0 - z)

    draw = Predictive(centred, {"z": torch.arange(3.0)}, return_sites=["x"])
    with pytest.warns(PPLWarning, match="observed"):
        assert draw()["x"].flatten().tolist() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("generator", [np.random.normal, random.random])
def test_numbers_from_elsewhere_are_drawn_anew_for_each_draw(generator):
    def model():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.deterministic("x", z + generator())

    draw = Predictive(model, {"z": torch.zeros(5)}, parallel=True)
    with pytest.warns(PPLWarning, match="numpy or random"):
        assert len(draw()["x"].unique()) == 5


# labels


def labelled(names, scale=1.0):
    with ppl.plate("unit", len(names), coords=names):
        z = ppl.sample("z", dist.Normal(100.0, 1.0))
        ppl.sample("m", dist.Normal(z[:, None], 1.0).expand([len(names), 2]).to_event(1))


@pytest.mark.parametrize("parallel", [False, True])
def test_elements_are_known_by_their_labels(parallel):
    samples = {"z": torch.arange(12.0).reshape(4, 3), "m": torch.arange(24.0).reshape(4, 3, 2)}
    draw = Predictive(
        labelled,
        samples,
        labels={"unit": ["a", "b", "c"]},
        return_sites=["z", "m"],
        parallel=parallel,
    )
    found = draw(["c", "new", "a", "b"])
    torch.testing.assert_close(found["z"][:, [2, 3, 0]], samples["z"])
    torch.testing.assert_close(found["m"][:, [2, 3, 0]], samples["m"])
    assert bool((found["z"][:, 1] > 90).all())
    assert len(found["z"][:, 1].unique()) == 4


def test_the_same_labels_change_nothing():
    samples = {"z": torch.zeros(4, 2), "m": torch.zeros(4, 2, 2)}
    draw = Predictive(labelled, samples, labels={"unit": ["a", "b"]}, return_sites=["z"])
    torch.testing.assert_close(draw(["a", "b"])["z"], samples["z"])
