"""Sites in terms of other sites: the protocol of reparameterizers."""

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.errors import ShapeError, SiteError
from ppl.primitives import plate, sample
from ppl.validation import validation_enabled

from .distribution.families import Normal


class Decenter:
    """A location and scale family as a function of standard noise."""

    def apply(self, msg):
        fn = msg["fn"]
        if msg["is_observed"]:
            return {"fn": fn, "value": msg["value"], "is_observed": True}
        noise = sample(msg["name"] + "_noise", Normal(torch.zeros_like(fn.loc), 1.0))
        value = fn.loc + fn.scale * noise
        return {"fn": Delta(value).mask(False), "value": value, "is_observed": True}


def decenter(name, fn, obs):
    """The same as a function."""
    result = Decenter().apply(
        {"name": name, "fn": fn, "value": obs, "is_observed": obs is not None}
    )
    return result["fn"], result["value"]


def model():
    mu = sample("mu", Normal(3.0, 1.0))
    with plate("data", 4):
        x = sample("x", Normal(mu, 2.0))
        sample("y", Normal(x, 1.0), obs=torch.zeros(4))
    return x


RULES = pytest.mark.parametrize("rule", [Decenter(), decenter], ids=["object", "function"])


@RULES
@pytest.mark.parametrize("form", [dict, "function"])
def test_a_configured_site_becomes_noise_and_a_deterministic_value(rule, form):
    config = {"x": rule} if form is dict else lambda site: rule if site["name"] == "x" else None
    trace = poutine.trace(poutine.reparam(model, config=config)).get_trace()
    assert list(trace.nodes)[1:-1] == ["mu", "data", "x_noise", "x", "y"]
    mu, noise, x = (trace.nodes[name] for name in ("mu", "x_noise", "x"))
    assert not noise["is_observed"]
    assert x["is_observed"]
    assert noise["fn"].batch_shape == x["fn"].batch_shape == (4,)
    assert_close(x["value"], mu["value"] + 2 * noise["value"])
    assert_close(trace.nodes["y"]["fn"].loc, x["value"])


@RULES
def test_the_density_differs_by_the_change_of_variables(rule):
    trace = poutine.trace(poutine.reparam(model, config={"x": rule})).get_trace()
    values = {name: trace.nodes[name]["value"] for name in ("mu", "x")}
    plain = poutine.trace(poutine.substitute(model, data=values)).get_trace()
    jacobian = 4 * torch.tensor(2.0).log()
    assert_close(trace.log_prob_sum(), plain.log_prob_sum() + jacobian)


@RULES
def test_sites_that_a_rule_draws_can_be_configured_as_well(rule):
    config = {"x": rule, "x_noise": rule}
    trace = poutine.trace(poutine.reparam(model, config=config)).get_trace()
    assert {"x_noise_noise", "x_noise", "x"} < set(trace.nodes)
    assert_close(trace.nodes["x_noise"]["value"], trace.nodes["x_noise_noise"]["value"])


@RULES
def test_observed_values_reach_the_rule(rule):
    with poutine.reparam(config={"x": rule}), poutine.condition(data={"x": torch.ones(4)}):
        trace = poutine.trace(model).get_trace()
    assert_close(trace.nodes["x"]["value"], torch.ones(4))
    assert trace.nodes["x"]["is_observed"]
    assert "x_noise" not in trace


def test_a_rule_may_change_the_distribution_of_a_latent_site_only():
    program = poutine.reparam(
        model, config={"x": lambda name, fn, obs: (Normal(fn.loc, 1e-6), obs)}
    )
    trace = poutine.trace(program).get_trace()
    assert not trace.nodes["x"]["is_observed"]
    assert_close(trace.nodes["x"]["value"], trace.nodes["mu"]["value"].expand(4), atol=1e-4, rtol=0)


def test_a_rule_must_keep_the_observation():
    with pytest.raises(SiteError, match="site 'y' is observed, but .* lost the observation"):
        poutine.reparam(model, config={"y": lambda name, fn, obs: (fn, None)})()


def test_a_rule_must_keep_the_event_shape():
    program = poutine.reparam(model, config={"x": lambda name, fn, obs: (fn.to_event(1), obs)})
    with validation_enabled(), pytest.raises(ShapeError, match="site 'x' has event_shape"):
        program()


def test_a_config_is_a_dict_or_a_function():
    with pytest.raises(SiteError, match=r"reparam needs a dict.*got \['x'\]"):
        poutine.reparam(model, config=["x"])
