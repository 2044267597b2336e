"""Reweighted wake-sleep against expectations over all samples, written out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, SiteError, UnsupportedModelError
from ppl.infer import SVI, ReweightedWakeSleep

THETA, PHI = torch.tensor([0.3, -0.2]), torch.tensor([0.4, -0.5])
ONE = {"x": torch.tensor(1.0)}


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(observations=ONE):
    theta = ppl.param("theta", THETA.clone())
    z = ppl.sample("z", dist.Bernoulli(logits=theta[0]))
    ppl.sample("x", dist.Bernoulli(logits=theta[1] + 2 * z), obs=observations["x"])


def guide(observations=ONE):
    phi = ppl.param("phi", PHI.clone())
    ppl.sample("z", dist.Bernoulli(logits=phi[0] + phi[1] * observations["x"]))


def log_bernoulli(logit):
    """Of 0 and of 1."""
    return torch.stack([-logit, logit]).sigmoid().log()


def exact_slopes(num_particles, insomnia):
    """The expected gradients of model and guide."""
    theta, phi = THETA.clone().requires_grad_(), PHI.clone().requires_grad_()
    log_z = log_bernoulli(theta[0])
    log_x = torch.stack([log_bernoulli(theta[1] + 2 * z) for z in (0, 1)])  # (z, x)
    log_q = torch.stack([log_bernoulli(phi[0] + phi[1] * x) for x in (0, 1)])  # (x, z)
    bound, wake = torch.tensor(0.0), torch.tensor(0.0)
    for z in itertools.product([0, 1], repeat=num_particles):
        index = list(z)
        probability = log_q[1][index].sum().exp().detach()
        log_weight = (log_z + log_x[:, 1])[index] - log_q[1][index].detach()
        bound = bound + probability * (log_weight.logsumexp(0) - math.log(num_particles))
        shares = log_weight.detach().softmax(0)
        wake = wake - probability * (shares * log_q[1][index]).sum()
    sleep = -((log_z[:, None] + log_x).exp().detach() * log_q.T).sum()
    guide_loss = insomnia * wake + (1 - insomnia) * sleep
    return torch.autograd.grad(-bound, theta)[0], torch.autograd.grad(guide_loss, phi)[0]


@pytest.mark.parametrize("vectorize", [False, True], ids=["loop", "vectorized"])
@pytest.mark.parametrize("insomnia", [0.0, 0.3, 1.0])
def test_gradients_are_those_of_the_expected_losses(insomnia, vectorize):
    """Fails by chance once in 500 runs of all these cases."""
    rws = ReweightedWakeSleep(
        num_particles=3, insomnia=insomnia, vectorize_particles=vectorize, max_plate_nesting=0
    )
    rows = []
    for _ in range(250):
        rws.loss_and_grads(model, guide, observations=ONE)
        leaves = dict(ppl.get_param_store().named_parameters())
        rows.append(torch.cat([leaves[n].grad.clone() for n in ("theta", "phi")]))
        for leaf in leaves.values():
            leaf.grad = None
    draws, truth = torch.stack(rows), torch.cat(exact_slopes(3, insomnia))
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - truth).abs() < 4 * error + 1e-6).all()


def test_each_loss_has_gradients_of_its_own_parameters_only():
    losses = ReweightedWakeSleep(4).differentiable_loss(model, guide)
    leaves = [ppl.param(name).unconstrained() for name in ("theta", "phi")]
    for loss, own in zip(losses, (0, 1), strict=True):
        grads = torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
        assert grads[own].abs().sum() > 0
        assert grads[1 - own] is None or not grads[1 - own].any()


def test_a_model_without_parameters_gets_no_gradients():
    rws = ReweightedWakeSleep(4, model_has_params=False)
    assert not rws.differentiable_loss(model, guide)[0].requires_grad


def test_pure_sleep_needs_no_weights():
    rws = ReweightedWakeSleep(1, insomnia=0.0, model_has_params=False)
    model_loss, guide_loss = rws.loss(model, guide)
    assert math.isnan(model_loss)
    assert guide_loss > 0


def test_reparametrized_samples_carry_no_gradients():
    def continuous():
        ppl.sample("z", dist.Normal(0.0, 1.0))

    def wide():
        ppl.sample("z", dist.Normal(ppl.param("loc", torch.tensor(1.0)), 1.0))

    model_loss, _ = ReweightedWakeSleep(4).differentiable_loss(continuous, wide)
    assert not model_loss.requires_grad


def test_svi_learns_model_and_guide():
    data = torch.tensor([1.0, 1.0, 1.0, 0.0])

    def coins():
        p = ppl.param("p", torch.tensor(0.5), constraint=dist.constraints.unit_interval)
        with ppl.plate("coins", 4):
            z = ppl.sample("z", dist.Bernoulli(p))
            ppl.sample("x", dist.Bernoulli(0.01 + 0.98 * z), obs=data)

    def faces():
        q = ppl.param("q", torch.full((4,), 0.5), constraint=dist.constraints.unit_interval)
        with ppl.plate("coins", 4):
            ppl.sample("z", dist.Bernoulli(q))

    svi = SVI(coins, faces, ppl.optim.Adam({"lr": 0.1}), ReweightedWakeSleep(10))
    for _ in range(150):
        losses = svi.step()
    assert len(losses) == 2
    assert_close(ppl.param("q").detach(), data, atol=0.15, rtol=0)
    assert abs(ppl.param("p").item() - 0.75) < 0.1


def test_subsamples_are_refused():
    def program():
        with ppl.plate("rows", 10, subsample_size=5):
            ppl.sample("z", dist.Bernoulli(0.5))

    with pytest.raises(UnsupportedModelError, match="5 of 10 elements"):
        ReweightedWakeSleep().loss(program, program)


def test_sleep_needs_a_guide_that_takes_observations():
    with pytest.raises(SiteError, match="observations=None"):
        ReweightedWakeSleep(insomnia=0.5).loss(lambda: model(), lambda: guide())


@pytest.mark.parametrize("options", [{"insomnia": 1.5}, {"num_particles": 1}], ids=str)
def test_other_options_are_refused(options):
    with pytest.raises(ArgumentError):
        ReweightedWakeSleep(**options)
