"""Densities run under torch's function transforms and record as tensor programs."""

import pytest
import torch
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.distribution import Delta, Unit
from ppl.validation import validation_enabled

from .families import every_family

MASK = torch.tensor([[True], [False], [True]])
WRAPPERS = {
    "bare": lambda d: d,
    "expanded": lambda d: d.expand((3, 6)),
    "to_event": lambda d: d.to_event(1),
    "masked": lambda d: d.mask(MASK),
    "hidden": lambda d: d.mask(False),
    "all": lambda d: d.expand((3, 6)).mask(MASK).to_event(2),
}


with validation_enabled(False):
    CASES = {
        **every_family(),
        "delta": Delta(torch.zeros(3, 1, dtype=torch.float64), log_density=2.0),
        "unit": Unit(torch.ones(3, 1, dtype=torch.float64)),
    }


@pytest.fixture(autouse=True)
def unvalidated():
    with validation_enabled(False):
        yield


@pytest.fixture(params=sorted(WRAPPERS))
def wrapper(request):
    return WRAPPERS[request.param]


@pytest.mark.parametrize("base", list(CASES.values()), ids=CASES)
def test_vmap_over_values_equals_a_loop(base, wrapper):
    d = wrapper(base)
    values = d.sample((5,))
    assert_close(vmap(d.log_prob)(values), torch.stack([d.log_prob(v) for v in values]))


@pytest.mark.parametrize("base", list(CASES.values()), ids=CASES)
def test_recording_replays_on_new_values(base, wrapper):
    d = wrapper(base)
    values = d.sample((2, 5))
    recorded = make_fx(lambda v: vmap(d.log_prob)(v))(values[0])
    assert_close(recorded(values[1]), d.log_prob(values[1]))


@pytest.mark.parametrize("family", ["normal", "gamma", "dirichlet", "mvn"])
def test_gradients_record_and_equal_autograd(family, wrapper):
    def density(value, shift):
        d = every_family()[family]
        for name in d.arg_constraints:
            if name in d.__dict__:
                setattr(d, name, d.__dict__[name] + shift)
        return wrapper(d).log_prob(value).sum()

    values = wrapper(every_family()[family]).sample((5,))
    shifts = torch.zeros(5, dtype=torch.float64)
    recorded = make_fx(vmap(grad(density, argnums=(0, 1))))(values, shifts)
    for i, got in enumerate(zip(*recorded(values, shifts), strict=True)):
        value, shift = values[i].clone().requires_grad_(), shifts[i].clone().requires_grad_()
        total = density(value, shift)
        want = (
            torch.autograd.grad(total, (value, shift), allow_unused=True)
            if total.requires_grad
            else (None, None)
        )
        for g, w in zip(got, want, strict=True):
            assert_close(g, torch.zeros_like(g) if w is None else w)
