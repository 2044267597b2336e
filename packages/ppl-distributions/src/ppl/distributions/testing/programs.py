"""Laws of densities as tensor programs: derivatives, ``vmap`` and recording."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.validation import validation_enabled

from .case import Case


def gradient_equals_finite_differences(case: Case) -> None:
    """The gradient of the log density equals finite differences."""
    torch.manual_seed(0)
    params = case.parameters()
    with validation_enabled(False):
        value = case.dist().sample()
        inputs = [p.requires_grad_() for p in params.values()]
        if not (case.dist().is_discrete or case.has_atoms):
            inputs.append(value.clone().requires_grad_())

        def log_prob(*tensors: Tensor) -> Tensor:
            named = dict(zip(params, tensors, strict=False))
            x = tensors[-1] if len(tensors) > len(params) else value
            density: Tensor = case.make(**named).log_prob(x)
            return density

        assert torch.autograd.gradcheck(log_prob, inputs, atol=1e-4, rtol=1e-3)


def density_runs_under_vmap(case: Case) -> None:
    """``vmap`` over values and parameters equals the batched density."""
    torch.manual_seed(0)
    with validation_enabled(False):
        dist = case.dist()
        value, params = dist.sample(), tuple(case.parameters().values())
        assert_close(vmap(density_function(case))(value, *params), dist.log_prob(value))


def density_and_gradient_record_and_replay(case: Case) -> None:
    """A recorded density and its gradient replay on other values and other parameters."""
    torch.manual_seed(0)
    with validation_enabled(False):
        log_prob = density_function(case)
        argnums = tuple(range(1, 1 + len(case.params)))
        gradient = grad(lambda *args: log_prob(*args).sum(), argnums=argnums)
        both = (vmap(log_prob), vmap(gradient))
        first = (case.dist().sample(), *case.parameters().values())
        other = {name: p.flip(0) for name, p in case.parameters().items()}
        second = (case.make(**other).sample(), *other.values())
        for function in both:
            recorded = make_fx(partial(_call, function))(*first)
            got, want = recorded(*second), function(*second)
            assert_close(got, want)


def density_function(case: Case) -> Callable[..., Tensor]:
    """Return the log density of one value as a function of the value and the parameters."""
    names = list(case.params)

    def log_prob(value: Tensor, *params: Tensor) -> Tensor:
        density: Tensor = case.make(**dict(zip(names, params, strict=True))).log_prob(value)
        return density

    return log_prob


def _call(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    """Call a transformed function; ``make_fx`` wants one with an ordinary signature."""
    return function(*args)
