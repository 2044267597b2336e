"""How objects show themselves: as they are written, with what was given, and without an address.

The law that was missing: no public object shows ``<... object at 0x...>``.
"""

import re

import pytest
import torch
from torch import nn
from torch.distributions import constraints

import ppl.poutine as poutine
from ppl.checker import check
from ppl.nn import PyroModule, PyroParam, PyroSample
from ppl.params import ParamStoreDict
from ppl.primitives import plate

from .distribution.families import Normal
from .test_arguments import GOOD, HANDLERS


class Net(PyroModule):
    def __init__(self):
        super().__init__("net")
        self.w = PyroParam(torch.ones(2), constraints.positive)
        self.z = PyroSample(Normal(0.0, 1.0))
        self.layer = nn.Linear(2, 1)


def store():
    made = ParamStoreDict()
    made.setdefault("a", torch.ones(2), constraints.positive)
    return made


def decide(site):
    return False


def made(name):
    if name == "queue":  # a wrapper, no object of its own
        return poutine.trace()
    return getattr(poutine, name)(**GOOD[name])


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_shows_its_function_and_no_address(name):
    shown = repr(made(name))
    assert name == "queue" or shown.startswith(f"{name}(")
    assert not re.search("0x[0-9a-f]{4}", shown)


SHOWN = {
    "plate('d', 10)": lambda: plate("d", 10),
    "plate('d')": lambda: plate("d"),
    "plate('d', 10, subsample_size=3, dim=-2)": lambda: plate("d", 10, subsample_size=3, dim=-2),
    "block(hide=['x'])": lambda: poutine.block(hide=["x"]),
    "block(hide_fn=decide)": lambda: poutine.block(hide_fn=decide),
    "condition(data={'x': tensor of shape (2,)})": lambda: poutine.condition(
        data={"x": torch.ones(2)}
    ),
    "scale(scale=2.0)": lambda: poutine.scale(scale=2.0),
    "enum(first_available_dim=-1)": lambda: poutine.enum(first_available_dim=-1),
    "ParamStoreDict(a: GreaterThan(lower_bound=0.0) of shape (2,))": store,
    "ParamStoreDict()": ParamStoreDict,
}


@pytest.mark.parametrize("shown", SHOWN)
def test_what_an_object_shows(shown):
    assert repr(SHOWN[shown]()) == shown


@pytest.mark.parametrize(
    "part", ["(w): PyroParam(GreaterThan(lower_bound=0.0))", "(z): PyroSample(Normal(", "(layer)"]
)
def test_a_module_shows_its_parameters_random_attributes_and_layers(part):
    assert part in repr(Net())


@pytest.mark.parametrize(
    "make", [lambda: poutine.Trace(), lambda: check, lambda: check(lambda: None), PyroModule]
)
def test_no_address_is_shown(make):
    assert not re.search("0x[0-9a-f]{4}", repr(make()))
