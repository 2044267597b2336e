"""Initial values, draws and arguments reach what takes the place of a site."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.infer import Predictive
from ppl.infer.initialization import InitMessenger, init_to_feasible, init_to_median, init_to_value
from ppl.infer.reparam import (
    ConjugateReparam,
    DiscreteCosineReparam,
    LocScaleReparam,
    SplitReparam,
    StudentTReparam,
    TransformReparam,
)
from ppl.primitives import param_store, plate, sample


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(0)
    with param_store():
        yield


def model():
    with plate("rows", 3):
        x = sample("x", dist.Normal(1.0, 2.0))
        t = sample("t", dist.StudentT(3.0, 0.0, 1.0))
        sample("y", dist.LogNormal(x, 2.0))
    sample("obs", dist.Normal(x.sum() + t.sum(), 1.0), obs=torch.tensor(0.0))


RULES = {"x": LocScaleReparam(0.0), "y": TransformReparam(), "t": StudentTReparam()}
VALUES = {"x": torch.full((3,), 5.0), "y": torch.full((3,), 2.0), "t": torch.full((3,), 4.0)}


@pytest.mark.parametrize("order", ["outside", "inside"])
def test_initial_values_of_a_site_are_those_of_its_auxiliary_sites(order):
    start = InitMessenger(init_to_value(values=VALUES))
    program = poutine.reparam(model, config=RULES)
    program = start(program) if order == "outside" else poutine.reparam(start(model), config=RULES)
    trace = poutine.trace(program).get_trace()
    assert_close(trace.nodes["x_decentered"]["value"], torch.full((3,), 2.0))
    assert_close(trace.nodes["y_base"]["value"], torch.full((3,), 2.0).log())
    assert not trace.nodes["x_decentered"]["is_observed"]
    for name, value in VALUES.items():
        assert_close(trace.nodes[name]["value"], value)


def test_values_of_auxiliary_sites_are_used_as_they_are():
    values = {"x_decentered": torch.full((3,), -1.0)}
    start = InitMessenger(init_to_value(values=values))
    trace = poutine.trace(start(poutine.reparam(model, config=RULES))).get_trace()
    assert_close(trace.nodes["x"]["value"], torch.full((3,), -1.0))


@pytest.mark.parametrize("strategy", [init_to_feasible, init_to_median])
def test_strategies_compute_values_of_the_auxiliary_sites(strategy):
    start = InitMessenger(strategy)
    trace = poutine.trace(start(poutine.reparam(model, config=RULES))).get_trace()
    value = trace.nodes["x_decentered"]["value"]
    assert_close(value, torch.zeros(3), atol=1.5 if strategy is init_to_median else 0, rtol=0)
    assert_close(trace.nodes["x"]["value"], 1 + 2 * value)


def test_a_strategy_of_ones_own_may_know_the_sites_of_the_model_only():
    def strategy(site):
        return VALUES.get(site["name"])

    trace = poutine.trace(InitMessenger(strategy)(poutine.reparam(model, RULES))).get_trace()
    assert_close(trace.nodes["x"]["value"], VALUES["x"])


def test_prediction_from_auxiliary_draws_and_from_those_of_the_site_agree():
    def simple():
        x = sample("x", dist.Normal(1.0, 2.0))
        sample("y", dist.Normal(x, 1e-4))

    program = poutine.reparam(simple, config={"x": LocScaleReparam(0.0)})
    noise = torch.tensor([0.0, 1.0, -2.0])
    for draws in ({"x_decentered": noise}, {"x": 1 + 2 * noise}):
        for parallel in (False, True):
            predicted = Predictive(program, draws, return_sites=["x", "y"], parallel=parallel)()
            assert_close(predicted["x"], 1 + 2 * noise)
            assert_close(predicted["y"], 1 + 2 * noise, atol=2e-3, rtol=0)


def test_a_learned_centering_is_a_parameter_for_each_element_of_an_event():
    def plated():
        with plate("rows", 4):
            sample("x", dist.Normal(torch.zeros(4, 3), 1.0).to_event(1))

    trace = poutine.trace(poutine.reparam(plated, {"x": LocScaleReparam()})).get_trace()
    assert_close(trace.nodes["x_centered"]["value"].detach(), torch.full((3,), 0.5))


@pytest.mark.parametrize("centered", [-0.1, 1.1, "half", torch.tensor([0.5, 2.0])])
def test_a_centering_is_between_zero_and_one(centered):
    with pytest.raises(ValueError, match="expected a number or tensor in"):
        LocScaleReparam(centered)


def test_a_log_normal_has_no_location_to_decenter():
    program = poutine.reparam(
        lambda: sample("x", dist.LogNormal(0.0, 1.0)), {"x": LocScaleReparam()}
    )
    with pytest.raises(TypeError, match="TransformReparam and decenter x_base"):
        program()


def test_a_transform_along_a_plate_needs_permission():
    def series():
        with plate("time", 8):
            return sample("x", dist.Normal(torch.arange(8.0), 1.0))

    with pytest.raises(ValueError, match=r"site 'x': .*to_event\(1\)"):
        poutine.reparam(series, config={"x": DiscreteCosineReparam()})()
    rule = DiscreteCosineReparam(experimental_allow_batch=True)
    trace = poutine.trace(poutine.reparam(series, config={"x": rule})).get_trace()
    assert trace.nodes["x_dct"]["cond_indep_stack"] == ()
    want = dist.Normal(torch.arange(8.0), 1.0).log_prob(trace.nodes["x"]["value"]).sum()
    assert_close(trace.log_prob_sum(), want)
    observed = poutine.condition(series, data={"x": torch.ones(8)})
    trace = poutine.trace(poutine.reparam(observed, config={"x": rule})).get_trace()
    want = dist.Normal(torch.arange(8.0), 1.0).log_prob(torch.ones(8)).sum()
    assert_close(trace.log_prob_sum(), want)


@pytest.mark.parametrize("rule", [DiscreteCosineReparam, SplitReparam])
def test_dimensions_count_from_the_right(rule):
    with pytest.raises(ValueError, match="negative, got 1"):
        rule(dim=1) if rule is DiscreteCosineReparam else rule([1], dim=1)


def test_blocks_have_the_support_of_their_part_of_the_site():
    high = torch.arange(1.0, 7.0)
    fn = dist.Uniform(torch.zeros(6), high).to_event(1)
    program = poutine.reparam(lambda: sample("x", fn), {"x": SplitReparam([2, 4], -1)})
    trace = poutine.trace(program).get_trace()
    support = trace.nodes["x_split_1"]["fn"].support
    assert support.check(high[2:] - 0.01) and not support.check(high[2:] + 0.01)
    assert_close(trace.log_prob_sum(), -high.log().sum())
    with pytest.raises(ValueError, match=r"sections \[2, 3\] have size 5, .* has size 6"):
        poutine.reparam(lambda: sample("x", fn), {"x": SplitReparam([2, 3], -1)})()
    simplex = dist.Dirichlet(torch.ones(6))
    with pytest.raises(ValueError, match="couples the values"):
        poutine.reparam(lambda: sample("x", simplex), {"x": SplitReparam([2, 4], -1)})()


@pytest.mark.parametrize("form", ["distribution", "function"])
def test_an_exact_update_leaves_the_evidence(form):
    def flips(heads):
        chance = sample("chance", dist.Beta(2.0, 1.0))
        sample("heads", dist.Binomial(10, chance), obs=heads)

    heads = torch.tensor(7.0)
    guide = dist.Beta(8.0, 4.0) if form == "distribution" else lambda h: dist.Beta(1 + h, 11 - h)
    program = poutine.reparam(flips, config={"chance": ConjugateReparam(guide)})
    evidence = dist.BetaBinomial(2.0, 1.0, 10).log_prob(heads)
    for _ in range(3):
        trace = poutine.trace(program).get_trace(heads)
        assert trace.stochastic_nodes == []
        assert_close(trace.log_prob_sum(), evidence)


def test_an_update_says_what_it_cannot_do():
    program = poutine.reparam(
        lambda: sample("x", dist.Gamma(1.0, 1.0)), {"x": ConjugateReparam(dist.Beta(1.0, 1.0))}
    )
    with pytest.raises(TypeError, match="site 'x': .* conjugate to"):
        program()
    rule = ConjugateReparam(lambda: dist.Beta(1.0, 1.0))
    with pytest.raises(ValueError, match="with statement"), poutine.reparam(config={"x": rule}):
        sample("x", dist.Beta(1.0, 1.0))
