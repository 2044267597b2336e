"""Recorded estimators are their plain kin: the same numbers, the same gradients."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import PPLWarning, SiteError
from ppl.infer import (
    SVI,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    config_enumerate,
)
from ppl.optim import Adam

from .conjugate import ZERO, guide, model

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def discrete_model(data):
    with ppl.plate("data", len(data), subsample_size=2) as index:
        z = ppl.sample("z", dist.Bernoulli(ZERO + 0.4))
        ppl.sample("x", dist.Normal(z, 1.0), obs=data[index])


def discrete_guide(data):
    p = ppl.param("p", ZERO + 0.3, constraint=constraints.unit_interval)
    with ppl.plate("data", len(data), subsample_size=2):
        ppl.sample("z", dist.Bernoulli(p))


@config_enumerate
def enumerated_model(data):
    q = ppl.param("q", ZERO + 0.4, constraint=constraints.unit_interval)
    with ppl.plate("data", len(data)):
        z, w = ppl.sample("z", dist.Bernoulli(q)), ppl.sample("w", dist.Bernoulli(0.5 * q))
        ppl.sample("x", dist.Normal(z - w, 1.0), obs=data)


@config_enumerate
def enumerated_guide(data):
    p = ppl.param("p", ZERO + 0.3, constraint=constraints.unit_interval)
    with ppl.plate("data", len(data)):
        ppl.sample("z", dist.Bernoulli(p))


PAIRS = {
    "Trace_ELBO": (Trace_ELBO, JitTrace_ELBO, model, guide),
    "TraceGraph_ELBO": (TraceGraph_ELBO, JitTraceGraph_ELBO, model, guide),
    "TraceMeanField_ELBO": (TraceMeanField_ELBO, JitTraceMeanField_ELBO, model, guide),
    "TraceEnum_ELBO": (TraceEnum_ELBO, JitTraceEnum_ELBO, enumerated_model, enumerated_guide),
    "discrete Trace_ELBO": (Trace_ELBO, JitTrace_ELBO, discrete_model, discrete_guide),
    "discrete TraceGraph_ELBO": (
        TraceGraph_ELBO,
        JitTraceGraph_ELBO,
        discrete_model,
        discrete_guide,
    ),
}
OPTIONS = {
    "one": {},
    "three": {"num_particles": 3},
    "vectorized": {"num_particles": 3, "vectorize_particles": True},
}


def estimates(elbo, model, guide, *data):
    """The losses of some calls, and the gradients that they leave."""
    ppl.clear_param_store()
    found = []
    for seed, rows in enumerate(data):
        ppl.set_rng_seed(seed)
        found.append(torch.tensor(elbo.loss_and_grads(model, guide, rows), dtype=torch.float64))
        for _, leaf in ppl.get_param_store().named_parameters():
            found.append(leaf.grad.clone())
            leaf.grad = None
        found.append(torch.tensor(elbo.loss(model, guide, rows), dtype=torch.float64))
        found.append(elbo.differentiable_loss(model, guide, rows).detach())
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("plain", "recorded", "model", "guide"), PAIRS.values(), ids=PAIRS)
def test_recorded_estimates_are_the_plain_ones_for_all_shapes(
    plain, recorded, model, guide, options
):
    data = [DATA, DATA + 1, DATA[:3], DATA, DATA[:3] - 1, DATA[:3], DATA * 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error", PPLWarning)  # nothing falls back
        actual = estimates(recorded(**options), model, guide, *data)
    expected = estimates(plain(**options), model, guide, *data)
    assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def test_a_recorded_loss_is_replayed():
    calls = []

    def counted(data):
        calls.append(1)
        model(data)

    elbo = JitTrace_ELBO()
    for _ in range(3):
        elbo.loss_and_grads(counted, guide, DATA)
    number = len(calls)
    for _ in range(5):
        elbo.loss_and_grads(counted, guide, DATA)
    assert len(calls) == number


def test_the_loss_and_its_surrogate_have_one_value():
    loss, surrogate = JitTrace_ELBO().loss_and_surrogate_loss(model, guide, DATA)
    assert_close(loss, surrogate.detach())
    assert surrogate.requires_grad and not loss.requires_grad


def test_one_estimator_serves_several_models():
    elbo = JitTrace_ELBO(max_plate_nesting=1)
    for _ in range(3):
        one = elbo.loss(model, guide, DATA)
        other = elbo.loss(discrete_model, discrete_guide, DATA)
        assert one != other
    copy.deepcopy(elbo).loss(model, guide, DATA)


def test_an_enumerated_loss_without_parameters_has_a_value_and_no_gradient():
    found = [kind().loss(fixed, lambda: None) for kind in (TraceEnum_ELBO, JitTraceEnum_ELBO)]
    assert_close(found[0], found[1])
    with pytest.raises(SiteError, match="not differentiable"):
        JitTraceEnum_ELBO().differentiable_loss(fixed, lambda: None)


@config_enumerate
def fixed():
    z = ppl.sample("z", dist.Bernoulli(ZERO + 0.3))
    ppl.sample("x", dist.Normal(z, 1.0), obs=ZERO)


def dynamic(data):
    z = ppl.sample("z", dist.Normal(ZERO, 1.0))
    scale = 1.0 if z > 0 else 2.0
    with ppl.plate("data", len(data)):
        ppl.sample("x", dist.Normal(z, scale), obs=data)


def test_a_model_that_branches_on_values_runs_plainly_after_one_warning():
    with pytest.warns(PPLWarning, match="without recording") as seen:
        actual = estimates(JitTrace_ELBO(), dynamic, guide, DATA, DATA, DATA)
    assert len(seen) == 1
    assert_close(actual, estimates(Trace_ELBO(), dynamic, guide, DATA, DATA, DATA))


def test_a_decaying_baseline_averages_once_a_call():
    def with_baseline(data):
        p = ppl.param("p", ZERO + 0.3, constraint=constraints.unit_interval)
        options = {"baseline": {"use_decaying_avg_baseline": True}}
        with ppl.plate("data", len(data), subsample_size=2):
            ppl.sample("z", dist.Bernoulli(p), infer=options)

    with pytest.warns(PPLWarning, match="site 'z' has a baseline"):
        actual = estimates(JitTraceGraph_ELBO(), discrete_model, with_baseline, *[DATA] * 4)
    assert_close(actual, estimates(TraceGraph_ELBO(), discrete_model, with_baseline, *[DATA] * 4))


def test_training_by_a_recorded_loss_is_training_by_the_plain_one():
    found = []
    for loss in (Trace_ELBO(), JitTrace_ELBO(), "JitTrace_ELBO"):
        ppl.clear_param_store()
        ppl.set_rng_seed(1)
        svi = SVI(model, guide, Adam({"lr": 0.05}), loss)
        losses = [svi.step(DATA) for _ in range(20)]
        found.append([torch.tensor(losses), ppl.param("m").detach(), ppl.param("s").detach()])
    for other in found[1:]:
        assert_close(other, found[0], rtol=1e-12, atol=1e-14)


def nothing(data):
    pass


OFFSET = 0.0


def test_a_number_that_a_model_reads_is_followed():
    global OFFSET

    def shifted(data):
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Normal(ZERO + OFFSET, 1.0), obs=data)

    elbo, losses = JitTrace_ELBO(), []
    for offset in (0.0, 0.0, 0.0, 2.0, 2.0, 2.0):
        OFFSET = offset
        losses.append(elbo.loss(shifted, nothing, DATA))
        assert losses[-1] == pytest.approx(Trace_ELBO().loss(shifted, nothing, DATA))
