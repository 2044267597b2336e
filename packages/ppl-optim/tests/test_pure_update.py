"""The pure updates are those of the torch optimizers, and both may follow each other."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.optim as optim
from ppl.optim.pure_update import PureUpdate, updated, why_not
from ppl.primitives import param

OPTIMIZERS = {
    "Adam": lambda: optim.Adam({"lr": 0.05, "betas": (0.8, 0.99), "weight_decay": 0.1}),
    "ClippedAdam": lambda: optim.ClippedAdam(
        {"lr": 0.05, "lrd": 0.9, "clip_norm": 1.0, "weight_decay": 0.1}
    ),
    "SGD": lambda: optim.SGD({"lr": 0.05, "weight_decay": 0.1}),
    "momentum": lambda: optim.SGD({"lr": 0.05, "momentum": 0.8}),
    "RMSprop": lambda: optim.RMSprop({"lr": 0.05, "alpha": 0.9}),
}


def run(make, ways):
    """The leaves after updates, usual (u) or pure (p), with gradients that differ by step."""
    optimizer = make()
    leaves = [
        torch.ones(3, dtype=torch.float64, requires_grad=True),
        torch.zeros((), dtype=torch.float64),
    ]
    leaves[1].requires_grad_()
    for step, way in enumerate(ways):
        gradients = [(step + 1.0) * torch.cos(leaf.detach() + step) for leaf in leaves]
        if way == "u":
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.grad = gradient
            optimizer(leaves)
        else:
            pure = PureUpdate(optimizer, leaves)
            slots = pure.slots()
            assert pure.why_not is None and slots is not None
            rates = pure.rates()[0]
            pure.commit(updated(pure.plan(), rates, slots, [x.detach() for x in leaves], gradients))
    return [leaf.detach().clone() for leaf in leaves]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_pure_update_is_the_usual_one(make):
    assert_close(run(make, "upppuupu"), run(make, "uuuuuuuu"), rtol=1e-12, atol=1e-14)


def test_an_update_that_is_not_known_is_told():
    assert why_not(optim.Adam({"lr": 0.1})) is None
    assert "not known" in why_not(optim.Rprop({"lr": 0.1}))
    leaf = param("x", torch.ones(())).unconstrained()
    for optimizer in (
        optim.Adam({"lr": 0.1, "amsgrad": True}),
        optim.SGD({"lr": 0.1, "momentum": 0.5, "nesterov": True}),
        optim.Adam({"lr": 0.1}, {"clip_norm": 1.0}),
    ):
        assert PureUpdate(optimizer, [leaf]).why_not is not None
