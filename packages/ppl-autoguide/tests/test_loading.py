"""Guides that are saved, loaded, copied and made twice.

The law: what a fitted guide says does not depend on the way by which its parameters came, and no
guide changes what another says.
"""

import copy
import pickle

import pytest
import torch

import ppl
import ppl.distributions as dist
import ppl.optim as optim
from ppl.errors import ShapeError, SiteError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoNormal

X = torch.linspace(-1, 1, 20)
Y = 2.0 * X + 1.0
GUIDES = [AutoNormal, AutoDelta]


def model(x, y=None):
    slope = ppl.sample("slope", dist.Normal(0.0, 3.0))
    scale = ppl.sample("scale", dist.LogNormal(0.0, 0.5))
    with ppl.plate("rows", len(x)):
        ppl.sample("y", dist.Normal(slope * x + 1.0, scale), obs=y)


def local_model(x):
    with ppl.plate("rows", len(x)):
        ppl.sample("z", dist.Normal(x, 1.0))


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def fitted(guide_type, steps=20):
    guide = guide_type(model)
    svi = SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(steps):
        svi.step(X, Y)
    return guide


def assert_same(one, other):
    assert one.keys() == other.keys() == {"slope", "scale"}
    for name in one:
        torch.testing.assert_close(one[name], other[name])


@pytest.mark.parametrize("guide_type", GUIDES)
class TestEveryGuide:
    def test_a_loaded_store_says_which_sites_are_the_guides(self, guide_type, tmp_path):
        expected = fitted(guide_type).median()
        ppl.get_param_store().save(tmp_path / "params")
        ppl.clear_param_store()
        ppl.get_param_store().load(tmp_path / "params")
        fresh = guide_type(model)
        draws = Predictive(model, guide=fresh, num_samples=50)(X)  # without y
        assert_same(fresh.median(), expected)
        noise = draws["scale"].amax() * 5
        assert (draws["y"] - draws["slope"] * X - 1.0).abs().max() < noise
        assert not [name for name in ppl.get_param_store() if name.endswith("y")]

    def test_a_store_loaded_after_the_first_call_is_seen(self, guide_type, tmp_path):
        guide = fitted(guide_type)
        expected = {name: x.clone() for name, x in guide.median().items()}
        ppl.get_param_store().save(tmp_path / "params")
        ppl.clear_param_store()
        fresh = guide_type(model)
        fresh(X, Y)
        ppl.get_param_store().load(tmp_path / "params")
        assert_same(fresh.median(), expected)

    def test_a_state_dict_loads_before_the_first_call(self, guide_type):
        guide = fitted(guide_type)
        expected, state = guide.median(), guide.state_dict()
        ppl.clear_param_store()
        fresh = guide_type(model)
        assert not any(fresh.load_state_dict(state))
        assert state.keys() == fresh.state_dict().keys()
        fresh(X)  # without y
        assert_same(fresh.median(), expected)
        assert state.keys() == fresh.state_dict().keys()

    def test_an_optimizer_made_between_loading_and_the_first_call_trains_the_guide(
        self, guide_type
    ):
        state = fitted(guide_type).state_dict()
        ppl.clear_param_store()
        fresh = guide_type(model)
        fresh.load_state_dict(state)
        before = set(fresh.parameters())
        fresh(X, Y)
        assert before == set(fresh.parameters())

    def test_a_state_of_another_model_is_refused(self, guide_type):
        state = fitted(guide_type).state_dict()
        ppl.clear_param_store()
        fresh = guide_type(local_model)
        fresh.load_state_dict(state)
        with pytest.raises(SiteError, match="are for the sites.*'slope'.*has \\['z'\\]"):
            fresh(X)

    def test_a_second_guide_is_independent_of_the_first(self, guide_type):
        first = fitted(guide_type)
        expected = {name: x.clone() for name, x in first.median().items()}
        second = fitted(guide_type, steps=3)
        assert_same(first.median(), expected)
        assert not second.median()["slope"].equal(expected["slope"])
        local = guide_type(local_model)
        assert local(X)["z"].shape == (20,)

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
    def test_a_copy_is_equal_and_trained_alone(self, guide_type, duplicate):
        guide = fitted(guide_type)
        expected = {name: x.clone() for name, x in guide.median().items()}
        twin = duplicate(guide)
        assert_same(twin.median(), expected)
        svi = SVI(model, twin, optim.Adam({"lr": 0.1}), Trace_ELBO())
        svi.step(X, Y)
        assert_same(guide.median(), expected)
        assert not twin.median()["slope"].equal(expected["slope"])

    def test_other_rows_are_refused_where_rows_have_parameters(self, guide_type):
        guide = guide_type(local_model)
        guide(X)
        with pytest.raises(ShapeError, match="20 elements of plate 'rows'.* has 14"):
            guide(X[:14])
        assert guide(X)["z"].shape == (20,)

    def test_other_rows_are_fine_where_they_have_none(self, guide_type):
        guide = fitted(guide_type)
        assert Predictive(model, guide=guide, num_samples=2)(X[:14])["y"].shape == (2, 14)

    def test_a_guide_says_what_it_is_of(self, guide_type):
        name = guide_type.__name__
        guide = guide_type(model)
        assert repr(guide) == f"{name}(model; not called yet)"
        guide(X, Y)
        assert repr(guide) == f"{name}(model; slope: (), scale: ())"

    def test_a_class_is_refused(self, guide_type):
        class Model(ppl.nn.PyroModule):
            pass

        with pytest.raises(SiteError, match=r"Model\(\)"):
            guide_type(Model)


def test_a_call_that_failed_leaves_the_guide_as_it_was():
    is_discrete = True

    def fickle():
        if is_discrete:
            ppl.sample("k", dist.Bernoulli(0.5))
        ppl.sample("z", dist.Normal(0.0, 1.0))

    guide = AutoDiagonalNormal(fickle)
    state = {"loc": torch.tensor([2.0]), "scale_unconstrained": torch.tensor([0.0])}
    guide.load_state_dict(state)
    with pytest.raises(SiteError, match="discrete"):
        guide()
    is_discrete = False
    guide()
    assert guide.median()["z"] == 2.0


def test_parameters_that_a_guide_has_of_its_own_stay():
    class Own(AutoNormal):
        def __init__(self, model):
            super().__init__(model)
            self.extra = torch.nn.Parameter(torch.ones(()))

    guide = Own(local_model)
    guide(X)
    assert guide.extra == 1.0
