"""Laws of the optimizers that differentiate the loss themselves."""

import pytest
import torch
from torch.testing import assert_close

import ppl.optim
from ppl.errors import PPLError
from ppl.optim.multi import (
    MixedMultiOptimizer,
    MultiOptimizer,
    Newton,
    PyroMultiOptimizer,
    TorchMultiOptimizer,
)

from .training import START, by_hand, free_leaves, leaves, loss, train


def quadratic(params, target=1.0):
    return sum(((p - target) ** 2).sum() for p in params.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda: PyroMultiOptimizer(ppl.optim.Adam({"lr": 0.1})),
        lambda: TorchMultiOptimizer(torch.optim.Adam, {"lr": 0.1}),
        lambda: MixedMultiOptimizer([(["a", "b"], ppl.optim.Adam({"lr": 0.1}))]),
        lambda: MixedMultiOptimizer(
            [(["a"], ppl.optim.Adam({"lr": 0.1})), (["b"], ppl.optim.Adam({"lr": 0.1}))]
        ),
    ],
)
def test_a_wrapped_optimizer_equals_the_torch_optimizer_run_by_hand(make):
    ours, theirs, optim = leaves(), free_leaves(), make()
    for _ in range(4):
        optim.step(loss(ours.values()), ours)
    train(by_hand(torch.optim.Adam, theirs.values(), lr=0.1), theirs.values(), 4)
    for key in START:
        assert_close(ours[key].detach(), theirs[key].detach(), rtol=1e-12, atol=1e-12)


def test_newton_reaches_the_optimum_of_a_quadratic_in_one_step():
    ours = leaves()
    Newton().step(quadratic(ours), ours)
    for leaf in ours.values():
        assert_close(leaf.detach(), torch.ones_like(leaf))
        assert leaf.is_leaf and leaf.requires_grad


def test_a_trust_radius_bounds_the_step_of_its_parameter_only():
    ours = leaves()
    updated = Newton({"a": 0.1}).get_step(quadratic(ours), ours)
    assert bool(((updated["a"] - ours["a"]).norm(dim=-1) <= 0.1 + 1e-12).all())
    assert_close(updated["b"].detach(), torch.ones_like(updated["b"]))


def test_the_step_of_newton_is_differentiable():
    target = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    ours = leaves()
    updated = Newton().get_step(quadratic(ours, target), ours)
    (slope,) = torch.autograd.grad(updated["a"].sum(), target)
    assert_close(slope, torch.tensor(4.0, dtype=torch.float64))


def test_parts_share_a_loss_in_which_their_parameters_meet():
    ours = leaves()
    before = {key: leaf.detach().clone().requires_grad_() for key, leaf in ours.items()}

    def coupled(params):
        return (params["a"] - 1).square().sum() * (1 + params["b"].square().sum())

    optim = MixedMultiOptimizer([(["b"], ppl.optim.SGD({"lr": 0.01})), (["a"], Newton())])
    optim.step(coupled(ours), ours)
    (slope,) = torch.autograd.grad(coupled(before), before["b"])
    assert_close(ours["b"].detach(), (before["b"] - 0.01 * slope).detach())
    assert_close(ours["a"].detach(), torch.ones_like(ours["a"]))


def test_the_differentiable_steps_of_parts_are_joined():
    ours = leaves()
    updated = MixedMultiOptimizer([(["a"], Newton()), (["b"], Newton())]).get_step(
        quadratic(ours), ours
    )
    assert set(updated) == {"a", "b"}
    assert all(value.requires_grad for value in updated.values())


def test_a_name_with_two_optimizers_is_refused():
    parts = [(["a", "b"], ppl.optim.Adam({"lr": 0.1})), (["b"], Newton())]
    with pytest.raises(ValueError, match=r"'b'.*PyroMultiOptimizer.*Newton") as error:
        MixedMultiOptimizer(parts)
    assert isinstance(error.value, PPLError)


@pytest.mark.parametrize(
    "optim", [MultiOptimizer(), TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.1})]
)
def test_an_optimizer_without_a_differentiable_step_says_so(optim):
    ours = leaves()
    with pytest.raises(NotImplementedError, match=type(optim).__name__):
        optim.get_step(quadratic(ours), ours)
