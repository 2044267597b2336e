"""Strategies choose a reparameterizer for each site."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.infer.reparam import AutoReparam, LocScaleReparam, MinimalReparam, Reparam
from ppl.infer.reparam.strategies import Strategy
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import param_store, plate, sample


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(0)
    with param_store():
        yield


def model():
    mean = sample("mean", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfCauchy(1.0))
    sample("log", dist.LogNormal(mean, 1.0))
    with plate("rows", 3):
        x = sample("x", dist.Normal(mean, scale))
        sample("stable", dist.Stable(1.5, 0.2, scale, mean))
        sample("y", dist.Normal(x, 1.0), obs=torch.zeros(3))
        sample("ys", dist.Stable(1.5, 0.0, 1.0, x), obs=torch.zeros(3))
        sample("yskew", dist.Stable(1.5, 0.2, 1.0, x), obs=torch.zeros(3))
    sample("direction", dist.ProjectedNormal(torch.zeros(2)))
    sample("category", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)))
    sample("gumbel", dist.Gumbel(mean, 1.0))
    sample("gamma", dist.Gamma(2.0, 1.0))
    sample("kumaraswamy", dist.Kumaraswamy(2.0, 2.0))


SYMMETRIC = ["ys_uniform", "ys_exponential"]
SKEWED = [f"yskew_{part}" for part in ("z_uniform", "z_exponential", "t_uniform", "t_exponential")]


def latent(program):
    return prune_subsample_sites(poutine.trace(program).get_trace()).stochastic_nodes


def test_minimal_rewrites_stable_sites_and_directions():
    stable = ["stable_uniform", "stable_exponential"]
    assert latent(poutine.reparam(model, config=MinimalReparam())) == [
        *["mean", "scale", "log", "x", *stable, *SYMMETRIC, *SKEWED],
        *["direction_normal", "category", "gumbel", "gamma", "kumaraswamy"],
    ]


@pytest.mark.parametrize("centered", [None, 0.0, 0.3, torch.tensor(0.5)])
def test_auto_rewrites_auxiliary_sites_in_their_turn(centered):
    stable = ["stable_decentered_uniform", "stable_decentered_exponential"]
    assert latent(AutoReparam(centered=centered)(model)) == [
        *["mean_decentered", "scale", "log_base_decentered", "x_decentered", *stable],
        *[*SYMMETRIC, *SKEWED, "direction_normal_decentered", "category_uniform"],
        *["gumbel_decentered", "gamma", "kumaraswamy"],
    ]


def test_auto_leaves_no_stable_density_when_centered():
    names = latent(AutoReparam(centered=1.0)(model))
    assert {"stable_uniform", "x"} < set(names) and "stable" not in names


def test_a_strategy_is_a_config_and_a_decorator():
    decorated = AutoReparam(centered=0.0)(model)
    assert latent(decorated) == latent(poutine.reparam(model, config=AutoReparam(centered=0.0)))
    assert poutine.unwrap(decorated) is model


def test_the_density_is_that_of_each_rule_by_itself():
    def chain():
        x = sample("x", dist.Normal(1.0, 2.0))
        sample("y", dist.Normal(x, 3.0), obs=torch.tensor(0.5))

    auto = poutine.trace(AutoReparam(centered=0.2)(chain)).get_trace()
    alone = poutine.reparam(chain, config={"x": LocScaleReparam(0.2)})
    alone = poutine.trace(poutine.replay(alone, trace=auto)).get_trace()
    assert_close(auto.log_prob_sum(), alone.log_prob_sum())


def test_decisions_are_kept_and_can_be_read():
    class First(Strategy):
        asked = 0

        def configure(self, msg) -> Reparam | None:
            First.asked += 1
            return LocScaleReparam(0.0) if msg["name"] == "mean" else None

    strategy = First()
    program = strategy(model)
    program()
    count = First.asked
    assert isinstance(strategy.config["mean"], LocScaleReparam) and strategy.config["x"] is None
    program()
    assert First.asked == count


def test_a_strategy_must_configure_and_a_centering_fits():
    with pytest.raises(TypeError, match="configure"):
        Strategy()
    with pytest.raises(ValueError, match=r"centered is 2.0, expected .* \[0, 1\]"):
        AutoReparam(centered=2.0)


def test_auto_goes_down_to_the_innermost_base():
    doubled = dist.transforms.AffineTransform(0.0, 2.0)

    def nested():
        inner = dist.LogNormal(torch.zeros(2), 1.0).to_event(1)
        sample("x", dist.TransformedDistribution(inner, [doubled]))
        sample("y", dist.TransformedDistribution(dist.Uniform(0.0, 1.0), [doubled]))

    program = AutoReparam(centered=0.0)(nested)
    assert latent(program) == ["x_base_base_decentered", "y_base"]
    nodes = poutine.trace(program).get_trace().nodes
    noise = nodes["x_base_base_decentered"]["value"]
    torch.testing.assert_close(nodes["x"]["value"], 2 * noise.exp())
