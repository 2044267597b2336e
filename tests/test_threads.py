"""Threads train models side by side, and each ends bit for bit where it ends alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ppl.distributions as dist
import ppl.optim as optim
import ppl.poutine as poutine
from ppl.distributions import constraints
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.autoguide import AutoDelta, AutoNormal
from ppl.nn import PyroModule, PyroSample
from ppl.primitives import get_param_store, module, param, param_store, plate, sample

NUM_STEPS = 25
Program = Callable[[Tensor, Tensor], Any]
Result = tuple[list[float], dict[str, Tensor]]


def regression(x: Tensor, y: Tensor) -> None:
    """Every thread uses the names of this model, each for its own parameters."""
    weight = sample("weight", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    scale = sample("scale", dist.Gamma(2.0, 2.0))
    with plate("data", len(y), subsample_size=8) as index:
        sample("y", dist.Normal(x[index] @ weight, scale), obs=y[index])


def by_hand(x: Tensor, y: Tensor) -> None:
    loc = param("loc", lambda: torch.randn(3))
    sample(
        "weight", dist.Normal(loc, param("width", torch.ones(3), constraints.positive)).to_event(1)
    )
    sample("scale", dist.Gamma(param("shape", torch.tensor(2.0), constraints.positive), 2.0))


def amortized(x: Tensor, y: Tensor) -> None:
    """Made anew at each call: the store alone knows the network."""
    net = module("net", nn.Sequential(nn.Linear(24, 6), nn.Dropout(0.2)), update_module_params=True)
    out = net(x.reshape(-1))
    sample("weight", dist.Normal(out[:3], out[3:].exp()).to_event(1))
    sample("scale", dist.Delta(param("point", torch.tensor(1.0), constraints.positive)))


class Bayesian(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = PyroModule[nn.Linear](3, 1)
        self.layer.weight = PyroSample(dist.Normal(torch.zeros(1, 3), 1.0).to_event(2))

    def forward(self, x: Tensor, y: Tensor) -> None:
        mean = self.layer(x).squeeze(-1)
        with plate("data", len(y)):
            sample("y", dist.Normal(mean, 1.0), obs=y)


def score_function(x: Tensor, y: Tensor) -> None:
    sample("weight", dist.Delta(param("loc", torch.zeros(3)), event_dim=1))
    rate = param("rate", torch.tensor(1.0), constraints.positive)
    sample("scale", dist.Gamma(2.0, rate).has_rsample_(False))


TRAININGS: list[tuple[Callable[[], Program], Callable[[Program], Program], Any]] = [
    (lambda: regression, AutoNormal, lambda: optim.Adam({"lr": 0.05})),
    (lambda: regression, AutoNormal, lambda: optim.ClippedAdam({"lr": 0.02, "lrd": 0.99})),
    (lambda: regression, AutoDelta, lambda: optim.SGD({"lr": 0.001, "momentum": 0.5})),
    (lambda: regression, lambda _: by_hand, lambda: optim.Adam({"lr": 0.01})),
    (lambda: regression, lambda _: by_hand, lambda: optim.AdagradRMSProp({"eta": 0.1})),
    (lambda: regression, lambda _: amortized, lambda: optim.RMSprop({"lr": 0.001})),
    (lambda: regression, lambda _: score_function, lambda: optim.Adam({"lr": 0.01})),
    (Bayesian, AutoNormal, lambda: optim.Adagrad({"lr": 0.1})),
]
NUMBERS = range(len(TRAININGS))


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 3)
    return x, x @ torch.tensor([1.0, -2.0, 0.5]) + torch.randn(8)


def train(number: int, seed: int, wait: Callable[[], Any] = lambda: None) -> Result:
    """Return the losses and the parameters after training with a store and a seed of its own."""
    make_model, make_guide, make_optimizer = TRAININGS[number]
    with param_store() as store, poutine.seed(rng_seed=seed):
        model = make_model()
        svi = SVI(model, make_guide(model), make_optimizer(), Trace_ELBO())
        wait()
        x, y = data()
        losses = [svi.step(x, y) for _ in range(NUM_STEPS)]
        return losses, {name: value.detach() for name, value in store.items()}


def same(one: Result, other: Result) -> bool:
    """Return whether two trainings agree in every bit."""
    (losses, parameters), (other_losses, others) = one, other
    return (
        losses == other_losses
        and parameters.keys() == others.keys()
        and all(torch.equal(parameters[name], others[name]) for name in parameters)
    )


def test_eight_threads_train_eight_models_as_each_trains_alone() -> None:
    alone = [train(number, seed=number) for number in NUMBERS]
    found, names = torch.get_rng_state(), list(get_param_store())
    start = threading.Barrier(len(NUMBERS))
    with ThreadPoolExecutor(len(NUMBERS)) as pool:
        runs = [pool.submit(train, number, number, lambda: start.wait(60)) for number in NUMBERS]
        together = [run.result() for run in runs]
    assert [same(*pair) for pair in zip(together, alone, strict=True)] == [True] * len(NUMBERS)
    assert list(get_param_store()) == names
    assert torch.equal(torch.get_rng_state(), found)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_training_is_repeated_by_its_seed_alone(number: int) -> None:
    first = train(number, seed=1)
    assert same(train(number, seed=1), first)
    assert not same(train(number, seed=2), first)
