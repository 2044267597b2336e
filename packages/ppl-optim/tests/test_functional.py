"""Laws of the optimizers that are pure functions."""

import copy

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.optim import functional
from ppl.optim.functional import FunctionalOptim

from .training import START, free_leaves, loss, train

CASES = {
    "SGD": (functional.SGD(0.1), torch.optim.SGD, {"lr": 0.1}),
    "Momentum": (functional.Momentum(0.1, 0.7), torch.optim.SGD, {"lr": 0.1, "momentum": 0.7}),
    "Adam": (
        functional.Adam(0.1, b1=0.8, b2=0.99, eps=1e-4),
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-4},
    ),
    "Adagrad": (functional.Adagrad(0.1, momentum=0.0), torch.optim.Adagrad, {"lr": 0.1}),
    "Adam without memory": (
        functional.Adam(0.1, b1=0.0),
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.0, 0.999)},
    ),
    "RMSProp": (functional.RMSProp(0.1), torch.optim.RMSprop, {"lr": 0.1, "alpha": 0.9}),
}
every_optimizer = pytest.mark.parametrize("name", CASES)


def start():
    return {name: value.double() for name, value in START.items()}


def total(params):
    return loss(params.values())


def run(optim, num_steps=5):
    state = optim.init(start())
    for _ in range(num_steps):
        state = optim.update(torch.func.grad(total)(optim.get_params(state)), state)
    return state


@every_optimizer
def test_an_update_equals_the_torch_optimizer(name):
    optim, constructor, options = CASES[name]
    theirs = free_leaves()
    optimizer = constructor(theirs.values(), **options)
    train(lambda _: optimizer.step(), theirs.values())
    params = optim.get_params(run(optim))
    for key in START:
        assert_close(params[key], theirs[key].detach(), rtol=1e-10, atol=0)


def test_adagrad_averages_its_directions():
    optim, x, total, mean = functional.Adagrad(0.1, momentum=0.6), 3.0, 0.0, 0.0
    state = optim.init({"x": torch.tensor(x, dtype=torch.float64)})
    for gradient in (1.0, -2.0, 4.0):
        state = optim.update({"x": torch.tensor(gradient, dtype=torch.float64)}, state)
        total += gradient**2
        mean = 0.6 * mean + 0.4 * gradient / total**0.5
        x -= 0.1 * mean
        assert_close(optim.get_params(state)["x"].item(), x)


@every_optimizer
def test_an_update_changes_neither_of_its_arguments(name):
    optim, params = CASES[name][0], start()
    state = optim.init(params)
    gradient = torch.func.grad(total)(params)
    kept = copy.deepcopy((params, gradient, state))
    optim.update(gradient, state)
    assert_close((params, gradient, tuple(state)), (kept[0], kept[1], tuple(kept[2])))


@every_optimizer
def test_a_whole_training_step_can_be_recorded(name):
    optim = CASES[name][0]

    def step(state):
        return optim.update(torch.func.grad(total)(optim.get_params(state)), state)

    recorded = make_fx(step)(optim.init(start()))
    state = run(optim, 3)  # another point than the recorded one
    assert_close(tuple(recorded(state)), tuple(step(state)))


@every_optimizer
def test_many_runs_are_one_mapped_run(name):
    optim = CASES[name][0]
    starts = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(3, 2)

    def minimize(x):
        state = optim.init({"x": x})
        for _ in range(3):
            state = optim.update({"x": optim.get_params(state)["x"].exp()}, state)
        return optim.get_params(state)["x"]

    assert_close(torch.func.vmap(minimize)(starts), torch.stack([minimize(x) for x in starts]))


def test_the_step_size_may_depend_on_the_number_of_updates():
    optim = functional.SGD(lambda num_updates: 0.5**num_updates)
    state = optim.init({"x": torch.tensor(0.0)})
    for expected in (-1.0, -1.5, -1.75):
        state = optim.update({"x": torch.tensor(1.0)}, state)
        assert optim.get_params(state)["x"].item() == expected


@every_optimizer
def test_dtype_is_kept(name):
    optim = CASES[name][0]
    state = optim.init({"x": torch.ones(2), "y": torch.ones(2).double()})
    state = optim.update({"x": torch.ones(2), "y": torch.ones(2).double()}, state)
    params = optim.get_params(state)
    assert (params["x"].dtype, params["y"].dtype) == (torch.float32, torch.float64)


def test_a_rule_of_ones_own_is_an_optimizer():
    def sign_descent(gradient, moments, count):
        return gradient.sign(), moments

    optim = FunctionalOptim(0.5, sign_descent, 0)
    state = optim.update({"x": torch.tensor(-3.0)}, optim.init({"x": torch.tensor(0.0)}))
    assert optim.get_params(state)["x"].item() == 0.5
