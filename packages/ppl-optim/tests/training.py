"""A small deterministic training problem that the tests of all optimizers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ppl.primitives import param

START = {"a": torch.tensor([[1.0, -2.0], [0.5, 3.0]]), "b": torch.tensor([[4.0, 0.1]])}


def leaves(values: Mapping[str, Tensor] = START) -> dict[str, Tensor]:
    """Parameters of the store with these initial values, as float64 leaves by name."""
    return {name: param(name, value.double()).unconstrained() for name, value in values.items()}


def free_leaves(values: Mapping[str, Tensor] = START) -> dict[str, Tensor]:
    """The same tensors without a store, for torch's optimizers."""
    return {name: value.double().clone().requires_grad_() for name, value in values.items()}


def loss(params: Iterable[Tensor]) -> Tensor:
    """A loss in which the parameters do not meet, with curvature that differs by entry."""
    return sum((torch.cosh(p) * torch.linspace(0.1, 2, p.numel()).view_as(p)).sum() for p in params)


def differentiate(params: Iterable[Tensor], sparse: bool = False) -> None:
    """Set the gradients, replacing those that are there."""
    params = list(params)
    for p, gradient in zip(params, torch.autograd.grad(loss(params), params), strict=True):
        p.grad = gradient.to_sparse() if sparse else gradient


def train(optim: Any, params: Iterable[Tensor], num_steps: int = 5, sparse: bool = False) -> None:
    """Take steps with something that is called with the parameters."""
    params = list(params)
    for _ in range(num_steps):
        differentiate(params, sparse)
        optim(params)


def by_hand(constructor: Any, params: Iterable[Tensor], **options: Any) -> Any:
    """A torch optimizer in the shape that :func:`train` takes."""
    optimizer = constructor(list(params), **options)
    return lambda _: optimizer.step()
