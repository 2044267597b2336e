"""Where chains start: finite points, drawn by a strategy, tested all at once."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import NotFiniteError
from ppl.infer.initialization import (
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.util import initialize_model
from ppl.primitives import factor, plate, sample

executions = []


def model():
    executions.append(None)
    sample("rate", dist.Gamma(torch.tensor(3.0).double(), 2.0))
    sample("mean", dist.Normal(torch.full((2,), 5.0), 0.1).to_event(1))
    sample("weights", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])))


def starts(strategy, model=model, num_chains=500):
    torch.manual_seed(0)
    params, _, transforms, _ = initialize_model(
        model, num_chains=num_chains, init_strategy=strategy
    )
    return params, {name: transforms[name].inv(x) for name, x in params.items()}


@pytest.mark.parametrize(
    ("strategy", "radius"), [(init_to_uniform, 2.0), (init_to_uniform(radius=0.5), 0.5)]
)
def test_uniform_starts_fill_a_box_on_the_unconstrained_scale(strategy, radius):
    params, _ = starts(strategy)
    assert {name: x.shape[1:] for name, x in params.items()} == {
        "rate": (),
        "mean": (2,),
        "weights": (2,),
    }
    assert params["rate"].dtype == torch.float64
    for x in params.values():
        assert x.abs().max() <= radius
        assert abs(x.std() / (radius / 3**0.5) - 1) < 0.12  # four standard errors


def test_uniform_starts_of_many_chains_need_few_executions_of_the_model():
    executions.clear()
    starts(init_to_uniform)
    assert len(executions) <= 3


def test_the_prior_its_mean_and_median_and_given_values_are_starts():
    _, prior = starts(init_to_sample)
    assert abs(prior["rate"].mean() - 1.5) < 4 * 0.75**0.5 / 500**0.5
    _, mean = starts(init_to_mean, num_chains=2)
    assert_close(mean["rate"], torch.full((2,), 1.5).double())
    _, median = starts(init_to_median(num_samples=1001), num_chains=2)
    assert (median["rate"] - 1.337).abs().max() < 0.12
    _, feasible = starts(init_to_feasible, num_chains=2)
    assert_close(feasible["mean"], torch.zeros(2, 2))
    _, given = starts(init_to_value(values={"rate": torch.tensor(0.25).double()}))
    assert_close(given["rate"], torch.full((500,), 0.25).double())
    assert given["mean"].std() > 0.5  # the others are uniform


def test_a_generated_strategy_is_made_anew_for_each_chain():
    values = iter(range(1, 100))

    def generate():
        return init_to_value(values={"rate": float(next(values))})

    _, found = starts(init_to_generated(generate=generate), num_chains=3)
    assert len(set(found["rate"].round(decimals=6).tolist())) == 3


@pytest.mark.parametrize("strategy", [init_to_uniform, init_to_sample])
def test_only_the_chains_without_density_are_drawn_again(strategy):
    def half():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("half", torch.where(z > 0, 0.0, -torch.inf))

    free, _ = starts(strategy, lambda: sample("z", dist.Normal(0.0, 1.0)), 20)
    params, _ = starts(strategy, half, 20)
    good = free["z"] > 0
    assert_close(params["z"][good], free["z"][good])
    assert (params["z"] > 0).all()


def branching():
    z = sample("z", dist.Normal(0.0, 1.0))
    factor("half", torch.tensor(0.0 if z > 0 else -torch.inf))


def fragile():
    z = sample("z", dist.Normal(0.0, 1.0))
    torch.linalg.cholesky(z * torch.eye(2))


@pytest.mark.parametrize("model", [branching, fragile])
def test_models_that_cannot_run_all_chains_at_once_start_one_by_one(model):
    params, _ = starts(init_to_uniform, model, 20)
    assert params["z"].shape == (20,)
    assert (params["z"] > 0).all()


def test_a_density_without_gradient_is_no_start():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("edge", -(z * 0).sqrt())

    with pytest.raises(NotFiniteError, match="the gradient is not finite"):
        starts(init_to_uniform, model, 2)


def test_the_error_names_the_site_without_density():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        with plate("rows", 2):
            sample("x", dist.Normal(z, 1.0), obs=torch.tensor([0.0, torch.inf]))

    with pytest.raises(NotFiniteError, match=r"100 tries.*\['x'\]"):
        starts(init_to_uniform, model, 3)


def test_given_starts_without_density_are_refused_with_chain_and_site():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0))
        factor("half", torch.where(z > 0, 0.0, -torch.inf))

    kernel = HMC(model)
    kernel.initial_params = {"z": torch.tensor([1.0, -1.0])}
    with pytest.raises(NotFiniteError, match=r"chain 1.*\['half'\]"):
        kernel.target(2, (), {})
    kernel = HMC(potential_fn=lambda z: z["z"].log())
    kernel.initial_params = {"z": torch.tensor(-1.0)}
    with pytest.raises(NotFiniteError, match=r"chain 0.*potential"):
        kernel.target(1, (), {})
