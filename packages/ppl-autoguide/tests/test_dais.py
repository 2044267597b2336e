"""Annealed importance sampling as a guide: its densities, and how close it comes."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.errors import ArgumentError, SiteError, SupportError
from ppl.infer import SVI, Predictive, Trace_ELBO
from ppl.infer.autoguide import AutoDAIS, AutoDiagonalNormal, init_to_value
from ppl.optim import Adam

DATA = torch.tensor(3.0, dtype=torch.float64)
PRIOR = torch.tensor([1.0, 2.0], dtype=torch.float64)
COV = PRIOR.square().diag() - torch.outer(PRIOR**2, PRIOR**2) / (1 + PRIOR.square().sum())
MEAN = PRIOR.square() * DATA / (1 + PRIOR.square().sum())
EVIDENCE = dist.Normal(0.0, (1 + PRIOR.square().sum()).sqrt()).log_prob(DATA).item()
START = init_to_value(values={"z": MEAN})


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(data=DATA):
    z = ppl.sample("z", dist.Normal(torch.zeros_like(PRIOR), PRIOR).to_event(1))
    ppl.sample("y", dist.Normal(z.sum(), 1.0), obs=data)


def guide_of(base_dist="diagonal", **options):
    options = {"K": 3, "eta_init": 0.3, "eta_max": 1.0, "gamma_init": 0.7, **options}
    return AutoDAIS(model, base_dist=base_dist, init_loc_fn=START, init_scale=0.8, **options)


def log_weights(guide, num_draws):
    """Return the log weights of trajectories, drawn together."""
    with torch.no_grad(), ppl.plate("draws", num_draws, dim=-1):
        trace = poutine.trace(guide).get_trace()
        replayed = poutine.trace(poutine.replay(vectorized, trace=trace)).get_trace()
    sums = []
    for found in (replayed, trace):
        found.compute_log_prob()
        sites = [site for site in found.nodes.values() if site["type"] == "sample"]
        sums.append(sum(site["log_prob"] for site in sites))
    return sums[0] - sums[1]


def vectorized():
    z = ppl.sample("z", dist.Normal(torch.zeros_like(PRIOR), PRIOR).to_event(1))
    ppl.sample("y", dist.Normal(z.sum(-1), 1.0), obs=DATA)


@pytest.mark.parametrize("base_dist", ["diagonal", "cholesky"])
@pytest.mark.parametrize("K", [1, 2, 5])
def test_the_weights_of_trajectories_estimate_the_evidence_without_bias(base_dist, K):
    """Whatever the step size; four standard errors, a chance of 1e-4."""
    weights = log_weights(guide_of(base_dist, K=K), 4000)
    ratio = (weights - EVIDENCE).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(4000)
    assert ratio.std() > 1e-3  # there is something to average


def test_without_steps_worth_the_name_it_is_its_base_distribution():
    guide = guide_of(eta_init=1e-9, K=2)
    trace = poutine.trace(guide).get_trace()
    start, end = (trace.nodes[f"_AutoDAIS_{site}"]["value"] for site in ("start", "latent"))
    assert_close(start, end)
    assert_close(trace.log_prob_sum(), guide.get_base_dist().log_prob(start))


def test_trajectories_can_be_run_backwards():
    """A leapfrog undoes itself if the momentum turns: the map has volume one."""
    guide = guide_of(K=1)
    guide.setup()

    def slope(vectors, share):
        return -vectors * share - vectors**3

    start, noise = torch.randn(2).double(), torch.randn(1, 2).double()
    step = (guide.eta * guide.inverse_mass.sqrt()).detach()
    end, log_ratio = guide._move(start, noise, slope)
    momentum = (end - start) / step * 2 - noise[0]  # of the second half of the step
    back, _ = guide._move(end, -momentum.unsqueeze(0), slope)
    assert_close(back, start)
    assert_close(log_ratio, 0.5 * (momentum.square() - noise.square()).sum())


def test_it_comes_closer_to_a_correlated_posterior_than_its_base_distribution():
    """The exact distance of the best mean field is known; trajectories must halve it."""
    distance = 0.5 * (COV.inverse().diagonal().log().sum() + COV.logdet()).item()
    guide = guide_of(K=4, eta_init=0.5)
    elbo = Trace_ELBO(num_particles=16, vectorize_particles=True)
    svi = SVI(vectorized, guide, Adam({"lr": 0.05}), elbo)
    for _ in range(80):
        svi.step()
    found = guide.diagnose(vectorized, num_draws=4000, parallel=True)
    assert found.divergence < 0.5 * distance
    assert found.log_evidence == pytest.approx(EVIDENCE, abs=0.1)
    draws = Predictive(guide, num_samples=2000, parallel=True)()["z"].reshape(2000, 2).detach()
    assert_close(draws.mean(0), MEAN, atol=0.15, rtol=0)
    assert torch.corrcoef(draws.mT)[0, 1] < -0.25  # that of the posterior is -0.82


def test_all_parameters_have_gradients():
    guide = guide_of("cholesky")
    loss = Trace_ELBO().differentiable_loss(model, guide)
    loss.backward()
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_parameters_of_the_model_learn():
    def learning():
        bias = ppl.param("bias", torch.tensor(0.0, dtype=torch.float64))
        z = ppl.sample("z", dist.Normal(bias, 1.0))
        ppl.sample("y", dist.Normal(z, 1.0), obs=DATA)

    guide = AutoDAIS(learning, K=2)
    svi = SVI(learning, guide, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(20):
        svi.step()
    assert ppl.param("bias") > 0.5
    assert not ppl.get_param_store()["AutoDAIS.loc"].equal(torch.tensor([0.0]))


def test_particles_and_predictions_run_together():
    guide = guide_of()
    draws = Predictive(guide, num_samples=7, parallel=True)()
    assert draws["z"].shape == (7, 2)
    together = Trace_ELBO(num_particles=2000, vectorize_particles=True).loss(vectorized, guide)
    singles = torch.tensor([Trace_ELBO().loss(model, guide) for _ in range(200)])
    assert abs(together - singles.mean()) < 4.5 * singles.std() * math.sqrt(1 / 200 + 1 / 2000)


def test_medians_are_those_of_draws():
    guide = guide_of()
    guide.setup()
    median = guide.median()["z"]
    draws = Predictive(guide, num_samples=2000, parallel=True)()["z"].reshape(2000, 2)
    level = (draws < median).double().mean(0)
    assert_close(
        level, torch.full((2,), 0.5).double(), atol=4.5 * 0.5 * 2 / math.sqrt(2000), rtol=0
    )
    assert guide.median()["z"].equal(median)


def test_it_starts_as_its_arguments_say():
    guide = AutoDAIS(model, K=5, eta_init=0.02, eta_max=0.3, gamma_init=0.8, init_scale=0.5)
    guide.setup()
    assert_close(guide.eta.item(), 0.02)
    assert_close(guide.gamma.item(), 0.8)
    assert_close(guide.increments.detach(), torch.full((5,), 0.2).double())
    assert_close(guide.get_base_dist().stddev.detach(), torch.full((2,), 0.5).double())
    with torch.no_grad():
        guide.eta_unconstrained.fill_(100.0)
    assert guide.eta <= 0.3


def test_what_it_cannot_do_is_refused():
    guide = guide_of()
    guide.setup()
    with pytest.raises(NotImplementedError, match="get_base_dist"):
        guide.get_posterior()

    def subsampled():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 4, subsample_size=2):
            ppl.sample("y", dist.Normal(mu, 1.0), obs=torch.zeros(2))

    with pytest.raises(ArgumentError, match="'rows' is a subsample"):
        AutoDAIS(subsampled)()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"K": 0}, SiteError),
        ({"base_dist": "full"}, SupportError),
        ({"eta_init": 0.2}, SupportError),
        ({"eta_init": 0.0}, SupportError),
        ({"gamma_init": 1.0}, SupportError),
        ({"init_scale": -1.0}, SupportError),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options, error):
    with pytest.raises(error, match=next(iter(options))):
        AutoDAIS(model, **options)  # type: ignore[arg-type]


def test_it_is_no_worse_than_a_diagonal_normal_from_the_start():
    """The ELBO of the base distribution, if the steps are tiny; more with steps that fit."""
    plain = AutoDiagonalNormal(model, START, 0.8)
    plain()
    elbo = plain.diagnose(model, num_draws=2000).elbo
    tiny = log_weights(guide_of(eta_init=1e-6), 2000)
    fitting = log_weights(guide_of(K=6, eta_init=0.4), 2000)
    error = 4.5 * tiny.std() * math.sqrt(2 / 2000)
    assert abs(tiny.mean() - elbo) < error
    assert fitting.mean() > elbo + error
