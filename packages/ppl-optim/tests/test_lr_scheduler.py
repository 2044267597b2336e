"""Laws of PyroLRScheduler, for every schedule that torch has."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler
from torch.testing import assert_close

import ppl.optim
from ppl.optim import OptimError, PyroLRScheduler
from ppl.primitives import get_param_store

from .training import START, differentiate, free_leaves, leaves, train

LOSSES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def halve(epoch):
    return 0.5


def parts(*rates):
    return [
        lambda optimizer, rate=rate: lr_scheduler.ExponentialLR(optimizer, rate) for rate in rates
    ]


CASES = {
    "ChainedScheduler": {"schedulers": parts(0.9, 0.5)},
    "ConstantLR": {"factor": 0.5, "total_iters": 3},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2},
    "ExponentialLR": {"gamma": 0.5},
    "LambdaLR": {"lr_lambda": halve},
    "LinearLR": {"total_iters": 4},
    "MultiStepLR": {"milestones": [2, 4]},
    "MultiplicativeLR": {"lr_lambda": halve},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 12},
    "PolynomialLR": {"total_iters": 4, "power": 2.0},
    "ReduceLROnPlateau": {"patience": 1},
    "SequentialLR": {"schedulers": parts(0.9, 0.5), "milestones": [2]},
    "StepLR": {"step_size": 2},
}
TORCH = {
    name
    for name, scheduler in vars(lr_scheduler).items()
    if isinstance(scheduler, type) and issubclass(scheduler, lr_scheduler.LRScheduler)
    if not name.startswith("_")
}
every_schedule = pytest.mark.parametrize("name", CASES)


def scheduler_of(name):
    options = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1, "momentum": 0.5}}
    return getattr(ppl.optim, name)({**options, **CASES[name]})


def advance(name, schedule, epoch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SequentialLR steps with an epoch, deprecated
        schedule.step(*([LOSSES[epoch]] if name == "ReduceLROnPlateau" else []))


def train_scheduled(name, scheduler, params, epochs):
    for epoch in epochs:
        train(scheduler, params, num_steps=1)
        advance(name, scheduler, epoch)


def train_by_hand(name, params, num_epochs):
    optimizer = torch.optim.SGD(params, lr=0.1, momentum=0.5)
    options = dict(CASES[name])
    if "schedulers" in options:
        options["schedulers"] = [make(optimizer) for make in options["schedulers"]]
    schedule = getattr(lr_scheduler, name)(optimizer=optimizer, **options)
    for epoch in range(num_epochs):
        differentiate(params)
        optimizer.step()
        advance(name, schedule, epoch)


def test_every_schedule_of_torch_has_a_case():
    assert set(CASES) == TORCH - {"LRScheduler"}  # the base class of the others


@every_schedule
def test_a_schedule_equals_the_torch_scheduler_run_by_hand(name):
    ours, theirs = leaves(), free_leaves()
    train_scheduled(name, scheduler_of(name), ours.values(), range(6))
    train_by_hand(name, list(theirs.values()), 6)
    for key in START:
        assert_close(ours[key].detach(), theirs[key].detach(), rtol=1e-12, atol=1e-12)


@every_schedule
@pytest.mark.parametrize("late", [1, 3])
def test_a_late_parameter_starts_at_the_beginning_of_its_schedule(name, late):
    ours, theirs = leaves(), free_leaves()
    scheduler = scheduler_of(name)
    train_scheduled(name, scheduler, [ours["a"]], range(late))
    train_scheduled(name, scheduler, ours.values(), range(3))
    train_by_hand(name, [theirs["b"]], 3)
    assert_close(ours["b"].detach(), theirs["b"].detach(), rtol=1e-12, atol=1e-12)


@every_schedule
def test_a_saved_schedule_resumes_the_identical_trajectory(name, tmp_path):
    ours, scheduler = leaves(), scheduler_of(name)
    train_scheduled(name, scheduler, ours.values(), range(3))
    scheduler.save(tmp_path / "scheduler")
    get_param_store().save(tmp_path / "params")
    train_scheduled(name, scheduler, ours.values(), range(3, 6))
    expected = {key: value.detach().clone() for key, value in ours.items()}

    get_param_store().load(tmp_path / "params")
    resumed, restored = leaves(), scheduler_of(name)
    restored.load(tmp_path / "scheduler")
    train_scheduled(name, restored, resumed.values(), range(3, 6))
    for key in START:
        assert torch.equal(resumed[key], expected[key])


def test_the_inner_options_may_be_a_function_of_the_name():
    ours = leaves()
    rates = {"a": 0.1, "b": 0.0}
    options = {"optimizer": torch.optim.SGD, "optim_args": lambda name: {"lr": rates[name]}}
    scheduler = ppl.optim.ExponentialLR({**options, "gamma": 0.1})
    train_scheduled("ExponentialLR", scheduler, ours.values(), range(2))
    assert torch.equal(ours["b"], START["b"].double())
    assert not torch.equal(ours["a"], START["a"].double())


def test_the_options_may_be_a_function_of_the_name():
    ours, theirs = leaves(), leaves_named("c", "d")
    options = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.5}
    train_scheduled("", ppl.optim.ExponentialLR(lambda name: options), ours.values(), range(3))
    train_scheduled("", ppl.optim.ExponentialLR(options), theirs.values(), range(3))
    for left, right in zip(ours.values(), theirs.values(), strict=True):
        assert torch.equal(left, right)


def leaves_named(*names):
    return leaves(dict(zip(names, START.values(), strict=True)))


@pytest.mark.parametrize("missing", ["optimizer", "optim_args"])
@pytest.mark.parametrize("wrap", [lambda options: options, lambda options: lambda name: options])
def test_options_that_lack_a_part_are_refused(missing, wrap):
    options = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.5}
    del options[missing]
    with pytest.raises(OptimError, match=missing):
        PyroLRScheduler(lr_scheduler.ExponentialLR, wrap(options))(leaves().values())


def test_a_torch_scheduler_is_known_as_one():
    from ppl.optim.optim import is_scheduler

    optimizer = torch.optim.SGD([torch.ones(1)], lr=0.1)
    assert is_scheduler(lr_scheduler.ExponentialLR(optimizer, 0.5))
    assert not is_scheduler(optimizer)
