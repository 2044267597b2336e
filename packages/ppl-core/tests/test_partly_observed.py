"""``obs_mask``: a site is observed where the mask holds and latent elsewhere."""

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.primitives import plate, sample

from .distribution.families import MultivariateNormal, Normal

MASK = torch.tensor([True, False, True])
OBS = torch.tensor([1.0, torch.nan, 3.0])


def model(loc=0.0, obs=OBS, mask=MASK):
    with plate("data", 3):
        return sample("x", Normal(loc, 1.0), obs=obs, obs_mask=mask)


def test_a_partly_observed_site_is_two_sites_and_their_combination():
    nodes = poutine.trace(model).get_trace().nodes
    assert [(n, s["is_observed"]) for n, s in nodes.items() if n[0] == "x"] == [
        ("x_observed", True),
        ("x_unobserved", False),
        ("x", True),
    ]
    value = nodes["x"]["value"]
    assert_close(value[MASK], OBS[MASK])
    assert_close(value[~MASK], nodes["x_unobserved"]["value"][~MASK])
    assert nodes["x"]["infer"]["_deterministic"]
    assert nodes["_RETURN"]["value"] is value


def test_the_density_counts_each_element_once():
    trace = poutine.trace(model).get_trace()
    assert_close(trace.log_prob_sum(), Normal(0.0, 1.0).log_prob(trace.nodes["x"]["value"]).sum())


def test_a_missing_observation_may_be_nan_and_leaves_gradients_finite():
    loc = torch.tensor(0.5, requires_grad=True)
    trace = poutine.trace(model).get_trace(loc)
    trace.log_prob_sum().backward()
    x = trace.nodes["x"]["value"].detach()
    # the draw moves with loc, so that only the observations have a gradient
    assert_close(loc.grad, (x[MASK] - loc.detach()).sum())


def test_a_guide_gives_the_unobserved_part():
    def guide():
        with plate("data", 3):
            sample("x_unobserved", Normal(9.0, 0.1))

    guide_trace = poutine.trace(guide).get_trace()
    value = poutine.replay(model, trace=guide_trace)()
    assert_close(value[~MASK], guide_trace.nodes["x_unobserved"]["value"][~MASK])


def test_a_mask_covers_batch_dimensions_and_keeps_events_whole():
    obs = torch.stack([torch.zeros(2), torch.full((2,), torch.nan)])
    fn = MultivariateNormal(torch.zeros(2), torch.eye(2))

    def program():
        with plate("data", 2):
            return sample("x", fn, obs=obs, obs_mask=[True, False])

    trace = poutine.trace(program).get_trace()
    value = trace.nodes["_RETURN"]["value"]
    assert_close(value[0], obs[0])
    assert value[1].isfinite().all()
    assert_close(trace.log_prob_sum(), fn.log_prob(value).sum())


def test_distributions_of_torch_can_be_partly_observed():
    def program():
        with plate("data", 3):
            fn = torch.distributions.Normal(torch.zeros(3), 1.0)
            return sample("x", fn, obs=OBS, obs_mask=MASK)

    assert_close(poutine.trace(program)()[MASK], OBS[MASK])


def test_without_observations_both_parts_are_latent():
    trace = poutine.trace(model).get_trace(obs=None)
    assert trace.stochastic_nodes == ["data", "x_observed", "x_unobserved"]
    assert_close(trace.log_prob_sum(), Normal(0.0, 1.0).log_prob(trace.nodes["x"]["value"]).sum())


def test_a_mask_must_be_boolean():
    with pytest.raises(SiteError, match=r"site 'x': obs_mask must have dtype torch\.bool"):
        model(mask=torch.ones(3))
