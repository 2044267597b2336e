"""Guides that are handlers of their model."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError
from ppl.poutine.guide import GuideMessenger
from ppl.poutine.runtime import stack
from ppl.primitives import deterministic, param, plate, sample
from ppl.validation import validation_enabled

from .distribution.families import Normal


def model(data):
    mu = sample("mu", Normal(0.0, 1.0))
    with plate("data", 6, subsample_size=3) as indices:
        x = sample("x", Normal(mu, 1.0))
        sample("y", Normal(x, 1.0), obs=data[indices])
    deterministic("twice", 2 * mu)


DATA = torch.arange(6.0)


class MyGuide(GuideMessenger):
    """A learned location, and local values that follow it."""

    def get_posterior(self, name, prior):
        if name == "mu":
            return Normal(param("mu_loc", torch.tensor(3.0)), 0.1)
        return self.upstream_value("mu").expand(prior.batch_shape)


def test_a_call_returns_latent_and_deterministic_values():
    values = MyGuide(model)(DATA)
    assert list(values) == ["mu", "x", "twice"]
    assert_close(values["x"], values["mu"].expand(3))
    assert_close(values["twice"], 2 * values["mu"])


def test_handlers_outside_see_posteriors_and_parameters_but_no_data():
    trace = poutine.trace(MyGuide(model)).get_trace(DATA)
    assert list(trace.nodes)[1:-1] == ["mu_loc", "mu", "data", "x"]
    assert_close(trace.nodes["mu"]["fn"].loc, torch.tensor(3.0))
    assert_close(trace.log_prob_sum(), Normal(3.0, 0.1).log_prob(trace.nodes["mu"]["value"]))


def test_the_model_replays_what_the_guide_drew():
    guide_trace = poutine.trace(MyGuide(model)).get_trace(DATA)
    trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(DATA)
    for name in ("mu", "x", "data"):
        assert trace.nodes[name]["value"] is guide_trace.nodes[name]["value"]


def test_both_traces_of_one_run_agree_with_separate_runs():
    guide = MyGuide(model)
    seen = poutine.trace(guide).get_trace(DATA)
    model_trace, guide_trace = guide.get_traces()
    replayed = poutine.trace(poutine.replay(model, trace=seen)).get_trace(DATA)
    assert_close(guide_trace.log_prob_sum(), seen.log_prob_sum())
    assert_close(model_trace.log_prob_sum(), replayed.log_prob_sum())
    assert "y" in model_trace
    assert "y" not in guide_trace


def test_particles_outside_expand_the_posterior():
    with plate("particles", 5, dim=-2):
        assert MyGuide(model)(DATA)["mu"].shape == (5, 1)


def test_upstream_values_of_unknown_sites_are_none_and_need_a_running_guide():
    class Asking(GuideMessenger):
        def get_posterior(self, name, prior):
            assert self.upstream_value("unknown") is None
            return prior

    guide = Asking(lambda: sample("x", Normal(0.0, 1.0)))
    guide()
    with pytest.raises(SiteError, match="only while the guide runs"):
        guide.upstream_value("x")


def test_a_guide_within_a_guide_has_upstream_values_of_its_own():
    seen = []

    class Inner(GuideMessenger):
        def get_posterior(self, name, prior):
            seen.append((outer.upstream_value("mu"), self.upstream_value("mu")))
            return prior

    class Outer(GuideMessenger):
        def get_posterior(self, name, prior):
            if name == "mu":
                return prior
            with poutine.block():
                return inner()["x"]

    inner = Inner(lambda: sample("x", Normal(0.0, 1.0)))
    outer = Outer(lambda: [sample(name, Normal(0.0, 1.0)) for name in ("mu", "x")])
    assert seen == [(outer()["mu"], None)]


def test_threads_that_share_a_guide_see_their_own_upstream_values():
    meet = threading.Barrier(4, timeout=30)

    def chain(start):
        sample("mu", Normal(start, 1e-6))
        meet.wait()
        return sample("x", Normal(0.0, 1.0))

    class Follow(GuideMessenger):
        def get_posterior(self, name, prior):
            return prior if name == "mu" else self.upstream_value("mu")

    guide = Follow(chain)
    with ThreadPoolExecutor(4) as pool:
        values = pool.map(lambda start: guide(start)["x"], [0.0, 1.0, 2.0, 3.0])
        assert_close(torch.stack(list(values)), torch.arange(4.0), atol=1e-4, rtol=0)


def test_a_posterior_of_another_shape_is_refused():
    class Wrong(GuideMessenger):
        def get_posterior(self, name, prior):
            return torch.zeros(2)

    with validation_enabled(), pytest.raises(ShapeError, match="site 'mu'.*get_posterior returned"):
        Wrong(model)(DATA)
    assert stack() == ()


def test_a_guide_needs_get_posterior():
    with pytest.raises(TypeError, match="get_posterior"):
        GuideMessenger(model)


def test_a_pickled_guide_runs():
    guide = MyGuide(model)
    guide(DATA)
    assert list(pickle.loads(pickle.dumps(guide))(DATA)) == ["mu", "x", "twice"]
