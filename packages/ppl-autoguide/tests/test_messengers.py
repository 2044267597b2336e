"""Guides that are handlers of their model."""

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import biject_to
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, SupportError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import (
    AutoHierarchicalNormalMessenger,
    AutoMessenger,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
    init_to_value,
)
from ppl.optim import Adam

GUIDES = [AutoNormalMessenger, AutoHierarchicalNormalMessenger, AutoRegressiveMessenger]
every_guide = pytest.mark.parametrize("make", GUIDES)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(size=4, subsample_size=None, y=0.5):
    a = ppl.sample("a", dist.Normal(1.0, 1.0))
    b = ppl.sample("b", dist.Dirichlet(torch.ones(3)))
    with ppl.plate("rows", size, subsample_size=subsample_size):
        c = ppl.sample("c", dist.LogNormal(a, 1.0))
        ppl.sample("y", dist.Normal(c, 1.0), obs=None if y is None else torch.tensor(y))
    ppl.deterministic("sum", a + b[..., 0])


def parameters_of(guide):
    return {
        name.removesuffix("_unconstrained"): tuple(x.shape) for name, x in guide.named_parameters()
    }


@every_guide
def test_draws_lie_in_the_support_and_particles_in_a_plate(make):
    guide = make(model)
    values = guide()
    assert values.keys() == {"a", "b", "c", "sum"}
    assert values["c"].shape == (4,)
    draws = Predictive(guide, num_samples=5, parallel=True)()
    assert draws["c"].shape == (5, 4)
    assert (draws["c"] > 0).all()
    assert_close(draws["b"].sum(-1), torch.ones_like(draws["b"].sum(-1)))


@every_guide
def test_particles_that_come_first_share_parameters(make):
    guide = make(model)
    Trace_ELBO(7, vectorize_particles=True, max_plate_nesting=1).loss(model, guide)
    assert parameters_of(guide)["locs.c"] == (4,)


def unconstrained(name, value):
    supports = {
        "a": dist.constraints.real,
        "b": dist.constraints.simplex,
        "c": dist.constraints.positive,
    }
    transform = biject_to(supports[name])
    free = transform.inv(value)
    jacobian = transform.log_abs_det_jacobian(free, value)
    return free, jacobian


@every_guide
def test_the_density_is_that_of_the_change_of_variables(make):
    guide = make(model, init_scale=0.7)
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(3):
        svi.step()
    trace = poutine.trace(guide).get_trace()
    trace.compute_log_prob()
    model_trace, _ = guide.get_traces()
    for name in "abc":
        site = trace.nodes[name]
        prior = model_trace.nodes[name]["fn"]
        loc, scale = guide.get_parameter(f"locs.{name}_unconstrained"), getattr(guide.scales, name)
        free, jacobian = unconstrained(name, site["value"])
        if make is AutoRegressiveMessenger:
            value = biject_to(prior.support)((free - loc) / scale)
            inner, inner_jacobian = unconstrained(name, value)
            expected = prior.log_prob(value) + inner_jacobian - jacobian
            spread = scale.log().sum(-1) if name == "b" else scale.log()
            assert_close(site["log_prob"], expected - spread, atol=1e-4, rtol=1e-4)
            continue
        if make is AutoHierarchicalNormalMessenger:
            loc = loc + getattr(guide.weights, name) * biject_to(prior.support).inv(prior.mean)
        normal = torch.distributions.Normal(loc, scale).log_prob(free)
        normal = normal.sum(-1) if name == "b" else normal
        assert_close(site["log_prob"], normal - jacobian, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", GUIDES[:2])
def test_the_median_starts_at_the_strategy(make):
    start = {
        "a": torch.tensor(2.0),
        "b": torch.tensor([0.2, 0.3, 0.5]),
        "c": torch.arange(1.0, 5.0),
    }
    guide = make(model, init_loc_fn=init_to_value(values=start))
    guide()
    last = guide.get_traces()[0]
    for name, value in guide.median().items():
        assert_close(value, start[name])
    assert guide.get_traces()[0].nodes["a"]["value"] is last.nodes["a"]["value"]


def test_the_first_map_of_a_prior_leaves_the_strategy_where_it_is():
    start = init_to_value(values={"x": torch.tensor(3.0)})
    guide = AutoRegressiveMessenger(
        lambda: ppl.sample("x", dist.Normal(3.0, 2.0)), init_loc_fn=start, init_scale=0.25
    )
    guide()
    _, trace = guide.get_traces()
    x = torch.tensor(3.7)
    assert_close(trace.nodes["x"]["fn"].log_prob(x), dist.Normal(3.0, 0.5).log_prob(x))


def test_the_hierarchical_guide_is_exact_where_the_posterior_follows_the_prior():
    data = torch.tensor([1.0, 2.0, 4.0])

    def tree():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 3):
            b = ppl.sample("b", dist.Normal(a, 1.0))
            ppl.sample("y", dist.Normal(b, 1.0), obs=data)

    guide = AutoHierarchicalNormalMessenger(tree)
    guide.setup()
    with torch.no_grad():  # b given a has mean (a + y) / 2; a has precision 1 + 3 / 2
        guide.weights.b = torch.full((3,), 0.5)
        guide.locs.b = data / 2
        guide.scales.b = torch.full((3,), math.sqrt(0.5))
        guide.locs.a = data.sum() / 2 / 2.5
        guide.scales.a = torch.tensor(2.5**-0.5)
    losses = torch.tensor([Trace_ELBO().loss(tree, guide) for _ in range(20)])
    evidence = dist.MultivariateNormal(torch.zeros(3), torch.ones(3, 3) + 2 * torch.eye(3))
    assert_close(-losses, evidence.log_prob(data).expand(20), atol=1e-4, rtol=1e-4)


def test_sites_that_follow_can_be_chosen():
    guide = AutoHierarchicalNormalMessenger(model, hierarchical_sites=["c"])
    guide()
    assert {name for name in parameters_of(guide) if "weights" in name} == {"weights.c"}
    with pytest.warns(UserWarning, match="'x'.*no mean"):
        AutoHierarchicalNormalMessenger(lambda: ppl.sample("x", dist.HalfCauchy(1.0)))()
    with pytest.raises(SiteError, match="leave the site out"):
        AutoHierarchicalNormalMessenger(
            lambda: ppl.sample("x", dist.Cauchy(0.0, 1.0)), hierarchical_sites=["x"]
        )()


# plates


@every_guide
def test_subsampled_plates_have_parameters_for_all_elements_or_share_them(make):
    guide = make(model)
    assert guide(6, 2)["c"].shape == (2,)
    assert parameters_of(guide)["locs.c"] == (6,)
    with pytest.raises(ShapeError, match="6 elements of plate 'rows'"):
        guide(8, 2)
    shared = make(model, amortized_plates=("rows",))
    assert shared(6, 2)["c"].shape == (2,)
    assert parameters_of(shared)["locs.c"] == ()
    assert shared(8, 3)["c"].shape == (3,)


@every_guide
def test_a_subsample_that_block_hides_is_refused(make):
    guide = make(poutine.block(model, expose=["c"]))
    with pytest.raises(SiteError, match="'rows'.*expose"):
        guide(6, 2)
    trace = poutine.trace(make(poutine.block(model, expose=["c", "rows"]))).get_trace(6, 2)
    assert trace.nodes["rows"]["value"].shape == (2,)


@every_guide
def test_sequential_plates_and_series_have_sites_of_their_own(make):
    def series():
        x = torch.zeros(())
        for t in ppl.plate("time", 3):
            x = ppl.sample(f"x_{t}", dist.Normal(x, 1.0))

    guide = make(series)
    assert guide().keys() == {"x_0", "x_1", "x_2"}


@every_guide
def test_what_is_latent_later_keeps_its_prior(make):
    guide = make(model)
    guide()
    values = guide(y=None)
    assert "locs.y" not in parameters_of(guide)
    assert values["y"].shape == (4,)
    ppl.get_param_store().keys()
    assert not [name for name in ppl.get_param_store() if name.endswith(".y")]


# state


@every_guide
def test_guides_of_one_class_are_apart_and_copies_equal(make):
    first, second = make(model), make(model)
    first(), second()
    assert first._pyro_name != second._pyro_name
    with torch.no_grad():
        first.locs.a.add_(1.0)
    for duplicate in (copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))):
        twin = duplicate(first)
        assert_close(twin.locs.a, first.locs.a)
        twin()


@every_guide
def test_states_and_stores_load_before_the_first_call(make, tmp_path):
    guide = make(model)
    guide()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.1)
    expected = {name: x.clone() for name, x in guide.state_dict().items()}
    ppl.get_param_store().save(tmp_path / "params")
    for way in ("state", "store"):
        ppl.clear_param_store()
        fresh = make(model)
        if way == "state":
            fresh.load_state_dict(expected)
        else:
            ppl.get_param_store().load(tmp_path / "params")
        fresh(y=None)
        for name, value in fresh.state_dict().items():
            assert_close(value, expected[name])


@every_guide
def test_svi_improves_the_guide(make):
    guide = make(model)
    svi = SVI(
        model, guide, Adam({"lr": 0.05}), Trace_ELBO(num_particles=20, vectorize_particles=True)
    )
    first = sum(svi.evaluate_loss() for _ in range(10))
    for _ in range(50):
        svi.step()
    assert sum(svi.evaluate_loss() for _ in range(10)) < first


@every_guide
def test_call_returns_a_tuple_in_the_order_of_names(make):
    guide = make(model)
    values = guide.call()
    assert [tuple(value.shape) for value in values] == [(), (3,), (4,), ()]


def test_a_guide_of_ones_own_needs_one_method():
    class Shifted(AutoMessenger):
        def get_posterior(self, name, prior):
            shift = ppl.param(f"shift.{name}", torch.zeros(()))
            return dist.TransformedDistribution(prior, dist.transforms.AffineTransform(shift, 1.0))

    guide = Shifted(lambda: ppl.sample("x", dist.Normal(0.0, 1.0)))
    svi = SVI(guide.model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    svi.step()
    assert list(ppl.get_param_store().keys()) == ["shift.x"]


@every_guide
def test_discrete_sites_and_wrong_scales_are_refused(make):
    with pytest.raises(SiteError, match="'k' is discrete"):
        make(lambda: ppl.sample("k", dist.Bernoulli(0.5)))()
    with pytest.raises(SupportError, match="init_scale"):
        make(model, init_scale=0.0)
