"""Guides in parts, guides written by hand, and guides of discrete sites."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ArgumentTypeError, DuplicateSiteError, SiteError
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.autoguide import (
    AutoCallable,
    AutoDelta,
    AutoDiagonalNormal,
    AutoDiscreteParallel,
    AutoGuideList,
    AutoNormal,
)
from ppl.optim import Adam


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(data, subsample_size=None):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    tau = ppl.sample("tau", dist.LogNormal(0.0, 1.0))
    with ppl.plate("rows", len(data), subsample_size=subsample_size) as rows:
        z = ppl.sample("z", dist.Normal(mu, tau))
        w = ppl.sample("w", dist.Normal(mu, tau))
        ppl.sample("x", dist.Normal(z + w, 1.0), obs=data[rows])


DATA = torch.linspace(-1, 1, 6)


def in_parts(create_plates=None):
    guide = AutoGuideList(model, create_plates=create_plates)
    guide.append(AutoDiagonalNormal(poutine.block(model, expose=["mu", "tau"])))
    guide.append(AutoNormal(poutine.block(model, expose=["z", "rows"])))
    guide.append(AutoDelta(poutine.block(model, expose=["w", "rows"])))
    return guide


def test_values_medians_and_quantiles_are_those_of_the_parts():
    guide = in_parts()
    assert guide(DATA).keys() == guide.median().keys() == {"mu", "tau", "z", "w"}
    assert guide.quantiles([0.1, 0.9]).keys() == {"mu", "tau", "z"}  # a point has none
    assert len(guide) == 3
    assert isinstance(guide[1], AutoNormal)


def test_parts_share_plates_and_subsamples():
    guide = in_parts()
    for _ in range(3):
        trace = poutine.trace(guide).get_trace(DATA, 2)
        rows = trace.nodes["rows"]["value"]
        assert_close(trace.nodes["w"]["value"], guide[2].w[rows])
        assert guide[1].plates["rows"] is guide[2].plates["rows"]
    chosen = torch.tensor([5, 0])
    given = in_parts(create_plates=lambda *_: ppl.plate("rows", 6, subsample=chosen, dim=-1))
    assert_close(given(DATA, 2)["w"], given[2].w[chosen])
    assert given[1].plates["rows"].indices.equal(chosen)


def test_a_part_called_alone_makes_its_own_plates():
    guide = in_parts()
    guide(DATA, 2)
    trace = poutine.trace(guide[2]).get_trace(DATA, 3)
    assert_close(trace.nodes["w"]["value"], guide[2].w[trace.nodes["rows"]["value"]])


def test_lists_are_apart_and_their_parts_have_names_below_them():
    first, second = in_parts(), in_parts()
    first(DATA), second(DATA)
    names = set(ppl.get_param_store().keys())
    assert {"AutoGuideList.0.loc", "AutoGuideList.1.locs.z", "AutoGuideList_1.0.loc"} <= names


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_copy_of_a_list_says_the_same(duplicate):
    guide = in_parts()
    guide(DATA)
    twin = duplicate(guide)
    for name, value in guide.median().items():
        assert_close(twin.median()[name], value)


def test_a_state_of_a_list_loads_before_the_first_call():
    guide = in_parts()
    guide(DATA)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.1)
    expected, state = guide.median(), guide.state_dict()
    ppl.clear_param_store()
    fresh = in_parts()
    fresh.load_state_dict(state)
    fresh(DATA)
    for name, value in expected.items():
        assert_close(fresh.median()[name], value)


def test_setup_makes_the_parameters_of_all_parts():
    guide = in_parts()
    guide.setup(DATA)
    assert {"0.loc", "1.locs.z_unconstrained", "2.w_unconstrained"} <= {
        name for name, _ in guide.named_parameters()
    }


def test_a_list_is_trained_with_its_parts():
    guide = in_parts()
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    svi.step(DATA)
    before = {name: value.clone() for name, value in guide.median().items()}
    svi.step(DATA)
    assert all(not guide.median()[name].equal(value) for name, value in before.items())


def test_a_site_in_two_parts_is_refused():
    guide = AutoGuideList(model)
    guide.append(AutoDelta(poutine.block(model, expose=["mu"])))
    guide.append(AutoNormal(poutine.block(model, expose=["mu", "tau"])))
    with pytest.raises(DuplicateSiteError, match="'mu'"):
        guide(DATA)


def test_a_function_is_a_part():
    guide = AutoGuideList(model)
    with pytest.warns(DeprecationWarning, match="append"):
        guide.add(AutoNormal(poutine.block(model, hide=["mu"])))
    guide.append(
        lambda *_: {"mu": ppl.sample("mu", dist.Normal(ppl.param("m", torch.ones(())), 1.0))}
    )
    assert isinstance(guide[1], AutoCallable)
    assert guide(DATA).keys() == {"mu", "tau", "z", "w"}
    assert guide.median().keys() == {"tau", "z", "w"}


def test_a_function_with_medians_says_them():
    guide = AutoCallable(model, lambda *_: None, median=lambda *_: {"mu": torch.tensor(2.0)})
    assert guide(DATA) == {}
    assert guide.median() == {"mu": 2.0}


def test_a_function_that_returns_no_dictionary_is_refused():
    with pytest.raises(ArgumentTypeError, match="dictionary"):
        AutoCallable(model, lambda *_: torch.ones(()))(DATA)


# discrete sites


def discrete():
    with ppl.plate("rows", 4):
        ppl.sample("bit", dist.Bernoulli(torch.tensor([0.1, 0.2, 0.3, 0.4])))
        ppl.sample("kind", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])))
    ppl.sample("hot", dist.OneHotCategorical(logits=torch.zeros(3)).mask(True))


def test_discrete_sites_start_at_the_prior_and_are_enumerated():
    guide = AutoDiscreteParallel(discrete)
    trace = poutine.trace(guide).get_trace()
    for name, site in poutine.trace(discrete).get_trace().iter_stochastic_nodes():
        if name != "rows":
            posterior = trace.nodes[name]
            assert posterior["infer"]["enumerate"] == "parallel"
            prior = site["fn"].base_dist if name == "hot" else site["fn"]
            assert_close(
                posterior["fn"].probs.detach(), prior.probs.expand_as(posterior["fn"].probs)
            )
    assert {n for n, _ in guide.named_parameters()} == {
        f"{name}_probs_unconstrained" for name in ("bit", "kind", "hot")
    }


def test_discrete_sites_of_a_subsample_have_parameters_for_all_elements():
    def part():
        with ppl.plate("rows", 6, subsample_size=2):
            ppl.sample("kind", dist.Categorical(torch.ones(3)))

    guide = AutoDiscreteParallel(part)
    assert guide()["kind"].shape == (2,)
    assert guide.kind_probs.shape == (6, 3)


@pytest.mark.parametrize(
    "fn", [dist.Normal(0.0, 1.0), dist.Poisson(1.0), dist.Bernoulli(torch.ones(2) / 2).to_event(1)]
)
def test_other_sites_are_refused_with_what_to_do(fn):
    with pytest.raises(SiteError, match="'x'.*Bernoulli.*hide="):
        AutoDiscreteParallel(lambda: ppl.sample("x", fn))()
