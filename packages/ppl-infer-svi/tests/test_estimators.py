"""All estimators against expectations that are exact: sums over discrete guides, closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ArgumentError, PPLWarning, SiteError
from ppl.infer import (
    RenyiELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
)

LOGITS = torch.tensor([0.2, -0.4])
WEIGHTS = torch.tensor([0.5, -1.0])


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def leaf(name):
    return dict(ppl.get_param_store().named_parameters())[name]


def draw_gradients(elbo, model, guide, name, repeats):
    rows = []
    for _ in range(repeats):
        elbo.loss_and_grads(model, guide)
        rows.append(leaf(name).grad.clone())
        leaf(name).grad = None
    return torch.stack(rows)


def z_scores(draws, truth):
    return (draws.mean(0) - truth) / (draws.std(0) / math.sqrt(len(draws)))


def local_model(subsample_size=None):
    with ppl.plate("data", 2, subsample_size=subsample_size) as index:
        z = ppl.sample("z", dist.Bernoulli(0.5))
        ppl.sample("x", dist.Normal(WEIGHTS[index] * z, 1.0), obs=torch.ones(len(index)))


def local_guide(subsample_size=None):
    logits = ppl.param("logits", LOGITS.clone())
    with ppl.plate("data", 2, subsample_size=subsample_size) as index:
        ppl.sample("z", dist.Bernoulli(logits=logits[index]))


def log_ratios(logits):
    """``log p(x, z) - log q(z)`` by value of z and element, and the probabilities of the values."""
    z = torch.tensor([[0.0], [1.0]])
    q = torch.stack([1 - logits.sigmoid(), logits.sigmoid()])
    return math.log(0.5) + dist.Normal(WEIGHTS * z, 1.0).log_prob(torch.ones(2)) - q.log(), q


def expected_renyi(logits, alpha, num_particles):
    """The expectation of the bound over all draws of the particles, summed over the elements."""
    ratios, q = log_ratios(logits)
    total = 0.0
    for values in itertools.product([0, 1], repeat=num_particles):
        rows, power = ratios[list(values)], 1 - alpha
        bound = ((power * rows).logsumexp(0) - math.log(num_particles)) / power
        total = total + (q[list(values)].prod(0) * bound).sum()
    return total


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_local_latents_have_renyi_bounds_element_by_element(alpha, vectorize):
    logits = LOGITS.clone().requires_grad_()
    exact = -expected_renyi(logits, alpha, 3)
    (slope,) = torch.autograd.grad(exact, logits)
    elbo = RenyiELBO(alpha, num_particles=3, vectorize_particles=vectorize)
    losses = torch.tensor([elbo.loss(local_model, local_guide) for _ in range(300)])
    assert z_scores(losses, exact).abs() < 4
    draws = draw_gradients(elbo, local_model, local_guide, "logits", 300)
    assert z_scores(draws, slope).abs().max() < 4


@pytest.mark.parametrize("vectorize", [False, True])
def test_renyi_bounds_are_unbiased_under_subsampling(vectorize):
    elbo = RenyiELBO(0.0, num_particles=3, vectorize_particles=vectorize)
    one = [lambda: local_model(1), lambda: local_guide(1)]
    losses = torch.tensor([elbo.loss(*one) for _ in range(600)])
    assert z_scores(losses, -expected_renyi(LOGITS, 0.0, 3)).abs() < 4


def test_a_global_latent_has_one_weight_a_particle():
    def model():
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        with ppl.plate("data", 3):
            ppl.sample("x", dist.Normal(z, 1.0), obs=torch.ones(3))

    def guide():
        ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(0.3)), 0.8))

    losses = []
    for vectorize in (False, True):
        elbo = RenyiELBO(0.5, num_particles=4, vectorize_particles=vectorize)
        draws = torch.tensor([elbo.loss(model, guide) for _ in range(400)])
        losses.append((draws.mean(), draws.std() / 20))
    (one, error), (other, _) = losses
    assert abs(one - other) < 4 * math.sqrt(2) * error
    x = torch.ones(3)
    evidence = dist.MultivariateNormal(torch.zeros(3), torch.eye(3) + 1).log_prob(x)
    assert one > -evidence - 4 * error  # a bound


def test_renyi_follows_particles_along_reparametrized_samples():
    def model():
        ppl.sample("z", dist.Normal(0.0, 1.0))

    def guide():
        ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(0.3)), 0.8))

    RenyiELBO(0.5, 5, max_plate_nesting=0, vectorize_particles=True).loss_and_grads(model, guide)
    ppl.set_rng_seed(0)
    noise = dist.Normal(0.0, 1.0).expand([5]).sample()
    m = torch.tensor(0.3, requires_grad=True)
    z = m + 0.8 * noise
    log_w = dist.Normal(0.0, 1.0).log_prob(z) - dist.Normal(m, 0.8).log_prob(z)
    loss = -2 * ((0.5 * log_w).logsumexp(0) - math.log(5))
    assert_close(leaf("m").grad, torch.autograd.grad(loss, m)[0])


def test_alpha_1_is_refused_with_the_estimator_to_use():
    with pytest.raises(ArgumentError, match="Trace_ELBO"):
        RenyiELBO(alpha=1)


# dependencies


def chain_model():
    a = ppl.sample("a", dist.Bernoulli(0.5))
    b = ppl.sample("b", dist.Bernoulli(0.3 + 0.4 * a))
    ppl.factor("cost", 2 * a * b - b)


def chain_guide():
    logits = ppl.param("logits", LOGITS.clone())
    a = ppl.sample("a", dist.Bernoulli(logits=logits[0]), infer={"baseline": BASELINE})
    ppl.sample("b", dist.Bernoulli(logits=logits[1] + a), infer={"baseline": BASELINE})


BASELINE: dict = {}


def exact_chain(logits):
    loss = 0.0
    for a, b in itertools.product([0.0, 1.0], repeat=2):
        q_a = dist.Bernoulli(logits=logits[0]).log_prob(torch.tensor(a))
        q_b = dist.Bernoulli(logits=logits[1] + a).log_prob(torch.tensor(b))
        p_b = dist.Bernoulli(torch.tensor(0.3 + 0.4 * a)).log_prob(torch.tensor(b))
        log_p = math.log(0.5) + p_b + 2 * a * b - b
        loss = loss + (q_a + q_b).exp() * (q_a + q_b - log_p)
    return loss


BASELINES = {
    "none": {},
    "decaying average": {"use_decaying_avg_baseline": True, "baseline_beta": 0.8},
    "value": {"baseline_value": torch.tensor(0.7)},
}


@pytest.mark.parametrize("options", BASELINES.values(), ids=BASELINES)
@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceGraph_ELBO])
def test_the_gradient_of_a_chain_of_discrete_samples_is_unbiased(elbo, options, monkeypatch):
    monkeypatch.setitem(globals(), "BASELINE", options)
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(exact_chain(logits), logits)
    draws = draw_gradients(elbo(num_particles=5), chain_model, chain_guide, "logits", 300)
    assert z_scores(draws, slope).abs().max() < 4


def test_a_sample_does_not_see_costs_that_do_not_depend_on_it():
    def model():
        a = ppl.sample("a", dist.Bernoulli(0.5))
        b = ppl.sample("b", dist.Bernoulli(0.5))
        ppl.factor("of_a", 1e6 * a)
        ppl.factor("of_b", b)

    def guide():
        logits = ppl.param("logits", torch.zeros(2))
        ppl.sample("a", dist.Bernoulli(logits=logits[0]))
        ppl.sample("b", dist.Bernoulli(logits=logits[1]))

    draws = draw_gradients(TraceGraph_ELBO(), model, guide, "logits", 20)
    assert draws[:, 0].abs().max() > 1e5
    assert draws[:, 1].abs().max() < 10


def test_a_network_learns_the_cost_and_the_gradient_stays_unbiased(monkeypatch):
    net = torch.nn.Linear(1, 1)

    def guide():
        ppl.module("net", net)
        chain_guide()

    options = {"nn_baseline": net, "nn_baseline_input": torch.ones(1)}
    monkeypatch.setitem(globals(), "BASELINE", options)
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(exact_chain(logits), logits)
    draws = draw_gradients(TraceGraph_ELBO(num_particles=5), chain_model, guide, "logits", 300)
    assert z_scores(draws, slope).abs().max() < 4
    assert net.weight.grad is not None


def test_a_misspelt_baseline_is_refused_with_the_nearest(monkeypatch):
    monkeypatch.setitem(globals(), "BASELINE", {"nn_baselin": None})
    with pytest.raises(SiteError, match="'a'.*did you mean 'nn_baseline'"):
        TraceGraph_ELBO().loss_and_grads(chain_model, chain_guide)


# closed forms


def test_divergences_in_closed_form_have_no_noise():
    def model():
        with ppl.plate("data", 3), poutine.scale(scale=2.0):
            ppl.sample("z", dist.Normal(torch.arange(3.0), 1.0))

    def guide():
        m = ppl.param("m", torch.zeros(3))
        with ppl.plate("data", 3), poutine.scale(scale=2.0):
            ppl.sample("z", dist.Normal(m, 1.0))

    elbo = TraceMeanField_ELBO()
    assert elbo.loss_and_grads(model, guide) == pytest.approx(5.0)  # 2 * (0 + 1 + 4) / 2
    assert_close(leaf("m").grad, -2 * torch.arange(3.0))
    assert_close(elbo.differentiable_loss(model, guide).detach(), torch.tensor(5.0))


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize(
    "posterior",
    [
        lambda m: dist.Normal(m, 0.5),  # a closed form
        lambda m: dist.Laplace(m, 0.5),  # none
        lambda m: dist.Normal(m, 0.5).expand([2]).mask(torch.tensor([True, False])),
    ],
    ids=["known", "unknown", "masked"],
)
def test_the_mean_field_loss_is_the_elbo(posterior, vectorize):
    def model():
        with ppl.plate("rows", 2), poutine.scale(scale=1.5):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=torch.ones(2))

    def guide():
        m = ppl.param("m", torch.tensor(0.3))
        with ppl.plate("rows", 2), poutine.scale(scale=1.5):
            ppl.sample("z", posterior(m))

    means = []
    for elbo in (Trace_ELBO, TraceMeanField_ELBO):
        one = elbo(num_particles=50, vectorize_particles=vectorize)
        losses = torch.tensor([one.loss(model, guide) for _ in range(30)])
        means.append((losses.mean(), losses.var() / len(losses)))
    (a, v), (b, w) = means
    assert abs(a - b) < 4 * (v + w + 1e-12).sqrt()


def test_another_order_in_the_guide_is_warned_about():
    def model():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("b", dist.Normal(a, 1.0))

    def guide():
        b = ppl.sample("b", dist.Normal(0.0, 1.0))
        ppl.sample("a", dist.Normal(b, 1.0))

    with pytest.warns(PPLWarning, match="draws 'b' before 'a'"):
        TraceMeanField_ELBO().loss(model, guide)


@pytest.mark.parametrize("elbo", [TraceMeanField_ELBO, TraceTailAdaptive_ELBO])
def test_samples_without_gradients_are_refused_where_they_are_needed(elbo):
    with pytest.raises(NotImplementedError, match="'z'.*Trace_ELBO"):
        elbo(num_particles=2, vectorize_particles=True).loss_and_grads(local_model, local_guide)


# tails


def test_weights_to_the_power_0_give_the_gradient_of_the_elbo():
    def model():
        ppl.sample("z", dist.Normal(0.0, 1.0))

    def guide():
        s = ppl.param("s", torch.tensor(0.5), constraint=constraints.positive)
        ppl.sample("z", dist.Normal(1.0, s))

    options = {"num_particles": 7, "vectorize_particles": True}
    found = []
    for elbo in (Trace_ELBO(**options), TraceTailAdaptive_ELBO(**options, tail_adaptive_beta=0.0)):
        ppl.set_rng_seed(1)
        elbo.loss_and_grads(model, guide)
        found.append(leaf("s").grad.clone())
        leaf("s").grad = None
    assert_close(*found)


def test_heavier_particles_count_more():
    def model():
        ppl.sample("z", dist.Normal(3.0, 1.0))

    def guide():
        ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(0.0)), 1.0))

    elbo = TraceTailAdaptive_ELBO(4, max_plate_nesting=0, vectorize_particles=True)
    ppl.set_rng_seed(2)
    elbo.loss_and_grads(model, guide)
    ppl.set_rng_seed(2)
    noise = dist.Normal(0.0, 1.0).expand([4]).sample()
    rank = noise.argsort(descending=True).argsort() + 1  # the weight grows with z
    share = 4.0 / rank
    # with z = m + noise the derivative of log p(z) - log q(z) by m is 3 - z
    assert_close(leaf("m").grad, -(share / share.sum() * (3 - noise)).sum())


def test_one_particle_has_no_tail():
    with pytest.raises(ArgumentError, match="num_particles=10.*vectorize_particles=True"):
        TraceTailAdaptive_ELBO().loss(local_model, local_guide)
