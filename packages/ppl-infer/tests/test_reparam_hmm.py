"""Linear hidden Markov models as conditionally Gaussian ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.poutine as poutine
from ppl.distributions.transforms import ExpTransform
from ppl.infer.reparam import (
    LatentStableReparam,
    LinearHMMReparam,
    StableReparam,
    StudentTReparam,
    SymmetricStableReparam,
)
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import plate, sample

GAUSSIAN = dist.Normal(torch.zeros(2), 0.7).to_event(1)
STUDENT = dist.StudentT(3.0, torch.zeros(2), 0.5).to_event(1)
STABLE = dist.Stable(1.5, torch.tensor([0.0, 0.4]), 0.5).to_event(1)
MATRIX = torch.tensor([[0.8, 0.1], [-0.2, 0.6]])


def linear(init: Any = GAUSSIAN, trans: Any = GAUSSIAN, obs: Any = GAUSSIAN, **kwargs: Any) -> Any:
    kwargs.setdefault("duration", 3)
    return dist.LinearHMM(init, MATRIX, trans, torch.eye(2), obs, **kwargs)


def trace_of(fn: Any, rule: Any, obs: Any = None, size: int | None = None) -> poutine.Trace:
    def model() -> None:
        if size is None:
            sample("x", fn, obs=obs)
        else:
            with plate("rows", size):
                sample("x", fn, obs=obs)

    torch.manual_seed(0)
    trace = poutine.trace(poutine.reparam(model, config={"x": rule})).get_trace()
    return prune_subsample_sites(trace)


def test_gaussian_noise_gives_the_density_of_the_gaussian_model() -> None:
    data = torch.randn(3, 2)
    trace = trace_of(linear(), LinearHMMReparam(), data)
    want = dist.GaussianHMM(GAUSSIAN, MATRIX, GAUSSIAN, torch.eye(2), GAUSSIAN).log_prob(data)
    assert_close(trace.log_prob_sum(), want)


@pytest.mark.parametrize("obs", [None, torch.ones(3, 2)], ids=["latent", "observed"])
def test_components_become_auxiliary_sites(obs: Any) -> None:
    rule = LinearHMMReparam(StudentTReparam(), StableReparam(), StudentTReparam())
    trace = trace_of(linear(STUDENT, STABLE, STUDENT), rule, obs, size=4)
    parts = ["z_uniform", "z_exponential", "t_uniform", "t_exponential"]
    trans = [f"x_trans_{part}" for part in parts]
    latent = ["x_init_gamma", *trans, "x_obs_gamma"] + ([] if obs is not None else ["x"])
    assert trace.stochastic_nodes == latent
    assert trace.nodes["x_init_gamma"]["fn"].event_shape == (2,)
    assert trace.nodes["x_obs_gamma"]["fn"].event_shape == (3, 2)
    trace.compute_log_prob()
    assert all(trace.nodes[name]["log_prob"].shape == (4,) for name in [*latent, "x"])


def test_transforms_of_observations_apply_to_the_gaussian_series() -> None:
    data = torch.rand(3, 2) + 0.5
    fn = linear(obs=dist.TransformedDistribution(GAUSSIAN, [ExpTransform()]))
    trace = trace_of(fn, LinearHMMReparam(), data)
    plain = trace_of(linear(), LinearHMMReparam(), data.log())
    assert_close(trace.log_prob_sum(), plain.log_prob_sum() - data.log().sum())


def test_a_series_of_length_one_has_the_density_of_its_sum() -> None:
    # a normal plus a Student t: the mean over draws of the scale at 5 standard errors
    normal, student = dist.Normal(0.0, 0.7), dist.StudentT(3.0, 0.0, 0.5)
    one, eye = torch.ones(1), torch.eye(1)
    point = dist.Normal(torch.zeros(1), 1e-4).to_event(1)
    fn = dist.LinearHMM(
        point,
        eye,
        dist.Normal(0.0, 0.7 * one).to_event(1),
        eye,
        dist.StudentT(3.0, 0.0, 0.5 * one).to_event(1),
        duration=1,
    )
    trace = trace_of(fn, LinearHMMReparam(obs=StudentTReparam()), torch.ones(1, 1), size=20_000)
    density = trace.nodes["x"]["fn"].log_prob(torch.ones(1, 1)).exp()
    grid = torch.linspace(-8, 8, 20_001)
    want = (normal.log_prob(grid) + student.log_prob(1 - grid)).exp().sum() * 16 / 20_000
    assert (density.mean() - want).abs() < 5 * density.std() / math.sqrt(20_000)


def test_independent_series_have_auxiliary_sites_of_all_series() -> None:
    one = torch.ones(3, 4, 1)
    base = dist.LinearHMM(
        dist.Normal(torch.zeros(3, 1), 1.0).to_event(1),
        torch.eye(1),
        dist.Normal(0.0, one).to_event(1),
        torch.eye(1),
        dist.StudentT(3.0, 0.0, one).to_event(1),
    )
    rule = LinearHMMReparam(obs=StudentTReparam())
    trace = trace_of(dist.IndependentHMM(base), rule, torch.zeros(4, 3))
    assert isinstance(trace.nodes["x"]["fn"], dist.IndependentHMM)
    gamma = trace.nodes["x_obs_gamma"]
    assert gamma["fn"].event_shape == (3, 4, 1)
    conditional = dist.Normal(0.0, gamma["value"].rsqrt()).to_event(1)
    base = dist.GaussianHMM(
        base.initial_dist, torch.eye(1), base.transition_dist, torch.eye(1), conditional
    )
    assert_close(
        trace.nodes["x"]["fn"].log_prob(torch.zeros(4, 3)),
        dist.IndependentHMM(base).log_prob(torch.zeros(4, 3)),
    )


@pytest.mark.parametrize(
    ("fn", "rule", "error", "message"),
    [
        (dist.Normal(0.0, 1.0), LinearHMMReparam(), TypeError, "needs a LinearHMM"),
        (linear(obs=STUDENT), LinearHMMReparam(), TypeError, "component obs"),
        (
            linear(trans=STABLE),
            LinearHMMReparam(trans=LatentStableReparam()),
            TypeError,
            "component trans",
        ),
        (
            linear(obs=STUDENT, duration=None),
            LinearHMMReparam(obs=StudentTReparam()),
            ValueError,
            "needs the duration",
        ),
        (
            linear(obs=STABLE),
            LinearHMMReparam(obs=SymmetricStableReparam()),
            ValueError,
            "nonzero skew",
        ),
    ],
)
def test_what_cannot_become_gaussian_is_refused(
    fn: Any, rule: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"site 'x.*{message}"):
        trace_of(fn, rule)
