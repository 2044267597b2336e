"""Inference in the geometry of a reparameterizer finds the posterior of the model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, reparam
from ppl.infer.autoguide import AutoNormal
from ppl.optim import Adam

DATA = torch.tensor([0.3, 1.2, -0.4])
RULES = {
    "decentered": lambda: reparam.LocScaleReparam(0.0),
    "between": lambda: reparam.LocScaleReparam(0.5),
    "cosine": reparam.DiscreteCosineReparam,
    "haar": reparam.HaarReparam,
    "split": lambda: reparam.SplitReparam([1, 2], -1),
    "auto": None,
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with ppl.param_store():
        ppl.clear_param_store()
        ppl.set_rng_seed(0)
        yield


def conjugate() -> None:
    """Three normal means of unit variance, each with an observation of unit variance."""
    x = ppl.sample("x", dist.Normal(torch.ones(3), 1.0).to_event(1))
    ppl.sample("y", dist.Normal(x, 1.0).to_event(1), obs=DATA)


def rewritten(name: str, model: Any = conjugate) -> Any:
    rule = RULES[name]
    config = reparam.AutoReparam(centered=0.2) if rule is None else {"x": rule()}
    return poutine.reparam(model, config=config)


def nuts(model: Any, args: tuple[Any, ...] = (), num_samples: int = 400) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*without (recording|compilation)")
        mcmc = MCMC(NUTS(model), num_samples, 200, disable_progbar=True)
        mcmc.run(*args)
        samples: dict[str, Tensor] = mcmc.get_samples()
    return samples


@pytest.mark.parametrize("name", RULES)
def test_nuts_samples_the_posterior_of_the_model(name: str) -> None:
    # 3 means and 3 deviations at 5 standard errors of 100 independent draws
    samples = nuts(rewritten(name))
    x = samples["x"]
    assert set(samples) > {"x"}
    error = math.sqrt(0.5 / 100)
    assert ((x.mean(0) - (1 + DATA) / 2).abs() < 5 * error).all()
    assert ((x.std(0) - math.sqrt(0.5)).abs() < 5 * error / math.sqrt(2)).all()


def heavy(noise: Any) -> Any:
    def model() -> None:
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 3):
            ppl.sample("y", noise(x), obs=DATA)

    return model


@pytest.mark.parametrize(
    ("noise", "rule"),
    [
        (lambda x: dist.StudentT(3.0, x, 0.7), reparam.StudentTReparam),
        (lambda x: dist.Stable(1.5, 0.0, 0.7, x), reparam.SymmetricStableReparam),
        (lambda x: dist.Stable(1.5, 0.4, 0.7, x), reparam.StableReparam),
    ],
    ids=["t", "symmetric", "skewed"],
)
def test_nuts_integrates_the_auxiliary_sites_of_a_likelihood(noise: Any, rule: Any) -> None:
    # the mean at 5 standard errors of 80 independent draws
    grid = torch.linspace(-5, 5, 501)
    log_density = dist.Normal(0.0, 1.0).log_prob(grid) + noise(grid).log_prob(
        DATA.unsqueeze(-1)
    ).sum(0)
    weights = log_density.softmax(0)
    mean = weights @ grid
    std = (weights @ (grid - mean).square()).sqrt()
    x = nuts(poutine.reparam(heavy(noise), config={"y": rule()}), (), 600)["x"]
    assert (x.mean() - mean).abs() < 5 * std / math.sqrt(80)


def test_a_funnel_is_sampled_without_divergences_when_decentered() -> None:
    def funnel() -> None:
        scale = ppl.sample("log_scale", dist.Normal(0.0, 3.0))
        ppl.sample("x", dist.Normal(torch.zeros(4), (scale / 2).exp()).to_event(1))

    config = {"x": reparam.LocScaleReparam(0.0)}
    samples = nuts(poutine.reparam(funnel, config=config))
    z = samples["log_scale"] / 3
    assert z.mean().abs() < 5 / math.sqrt(100) and (z.std() - 1).abs() < 5 / math.sqrt(200)


@pytest.mark.parametrize("name", ["decentered", "cosine", "split", "auto"])
def test_svi_with_a_mean_field_guide_finds_the_means(name: str) -> None:
    program = rewritten(name)
    guide = AutoNormal(program)
    svi = SVI(program, guide, Adam({"lr": 0.05}), Trace_ELBO(num_particles=8))
    for _ in range(150):
        svi.step()
    predicted = Predictive(program, guide=guide, num_samples=400, return_sites=["x"])()["x"]
    gap = predicted.reshape(400, 3).mean(0) - (1 + DATA) / 2
    assert (gap.abs() < 0.25).all()  # 0.035 of the draws, and what Adam leaves


def test_svi_learns_to_decenter_what_has_no_data() -> None:
    """Where data are absent the prior is the posterior: best decentered (Gorinova et al.)."""

    def hierarchy() -> None:
        scale = ppl.sample("log_scale", dist.Normal(0.0, 2.0))
        x = ppl.sample("x", dist.Normal(0.0, scale.exp()))
        ppl.sample("y", dist.Normal(x, 10.0), obs=torch.tensor(0.0))

    program = poutine.reparam(hierarchy, config={"x": reparam.LocScaleReparam()})
    guide = AutoNormal(program)
    svi = SVI(program, guide, Adam({"lr": 0.05}), Trace_ELBO(num_particles=8))
    for _ in range(200):
        svi.step()
    assert ppl.param("x_centered").item() < 0.3


@pytest.mark.parametrize("name", RULES)
def test_draws_of_the_auxiliary_sites_predict_the_sites_of_the_model(name: str) -> None:
    program = rewritten(name)
    samples = nuts(program, (), 20)
    auxiliary = {key: value for key, value in samples.items() if key != "x"}
    predicted = Predictive(program, auxiliary, return_sites=["x"])()
    torch.testing.assert_close(predicted["x"], samples["x"], atol=1e-5, rtol=1e-5)


class Trained:
    """A guide that knows the posterior of a funnel: what transport uses of its face."""

    def __init__(self, model: Any) -> None:
        self.prototype_trace = poutine.trace(model).get_trace()

    def get_base_dist(self) -> Any:
        return dist.Normal(torch.zeros(2), 1.0).to_event(1)

    def get_transform(self) -> Any:
        return dist.transforms.LowerCholeskyAffine(
            torch.tensor([1.0, 2.0]), torch.tensor([[3.0, 0.0], [2.9, 0.3]])
        )


def test_nuts_samples_in_the_space_of_a_guide() -> None:
    def correlated() -> None:
        a = ppl.sample("a", dist.Normal(1.0, 3.0))
        ppl.sample("b", dist.Normal(2.0 + 2.9 / 3 * (a - 1.0), 0.3))

    neutra = reparam.NeuTraReparam(Trained(correlated))
    samples = nuts(neutra.reparam(correlated))
    z = samples["a_shared_latent"]  # standard normal, as the guide is exact
    assert (z.mean(0).abs() < 5 / math.sqrt(100)).all()
    assert ((z.std(0) - 1).abs() < 5 / math.sqrt(200)).all()
    for name, value in neutra.transform_sample(z).items():
        torch.testing.assert_close(value, samples[name], atol=1e-4, rtol=1e-4)


def test_what_is_drawn_where_nothing_is_observed_has_its_prior() -> None:
    """Where a value is observed, its filler is not used; it must not run away there."""

    def partly(data: Tensor) -> None:
        with ppl.plate("rows", 2):
            ppl.sample("x", dist.Normal(1.0, 2.0), obs=data, obs_mask=~data.isnan())

    for config in (
        {"x_unobserved": reparam.LocScaleReparam(0.0)},
        reparam.AutoReparam(centered=0.5),
    ):
        x = nuts(poutine.reparam(partly, config=config), (torch.tensor([1.5, math.nan]),))
        assert x["x_unobserved"].abs().max() < 1 + 2 * 8
        assert (x["x"][:, 0] == 1.5).all()
        assert (x["x"][:, 1].mean() - 1).abs() < 5 * 2 / math.sqrt(100)
    with pytest.raises(ValueError, match="'x' is deterministic.*x_unobserved"):
        poutine.reparam(partly, config={"x": reparam.LocScaleReparam()})(torch.zeros(2))


def test_an_initial_value_starts_the_auxiliary_site_of_a_guide() -> None:
    start = ppl.infer.autoguide.init_to_value(values={"x": torch.tensor([1.0, 3.0, 5.0])})
    guide = AutoNormal(rewritten("decentered"), init_loc_fn=start)
    guide()
    torch.testing.assert_close(guide.median()["x_decentered"], torch.tensor([0.0, 2.0, 4.0]))
