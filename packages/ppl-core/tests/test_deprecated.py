"""Statements of the first releases do what their successors do, and say so."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.deprecated import iarange, irange, random_module
from ppl.primitives import plate, sample

from .distribution.families import Normal


@pytest.mark.parametrize(("old", "name"), [(irange, "irange"), (iarange, "iarange")])
@pytest.mark.parametrize("arguments", [(4,), (4, 2), (4, None, torch.tensor([3, 1]))])
def test_an_old_plate_is_a_plate(old, name, arguments):
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated") as warned:
        made = old("data", *arguments)
    assert warned[0].filename == __file__
    assert isinstance(made, plate)
    assert made.subsample_size == plate("data", *arguments).subsample_size


def test_irange_is_a_loop_and_iarange_a_context():
    with pytest.warns(DeprecationWarning, match="deprecated; write"):
        assert [int(i) for i in irange("data", 3)] == [0, 1, 2]
        with iarange("more", 3, dim=-2):
            assert sample("x", Normal(0.0, 1.0)).shape == (3, 1)


def lifted(prior):
    with pytest.warns(FutureWarning, match="random_module is deprecated"):
        return random_module("net", NET, prior)


NET = nn.Linear(2, 1)
WEIGHT = Normal(torch.full((1, 2), 7.0), 0.1).to_event(2)


def test_a_random_module_draws_the_parameters_that_have_a_prior():
    before = NET.weight.detach().clone()
    trace = poutine.trace(lifted({"weight": WEIGHT})).get_trace()
    drawn = trace.nodes["_RETURN"]["value"]
    assert {name: site["type"] for name, site in trace.nodes.items() if "$" in name} == {
        "net$$$weight": "sample",
        "net$$$bias": "param",
    }
    assert drawn.weight is trace.nodes["net$$$weight"]["value"]
    assert_close(drawn(torch.ones(2)), drawn.weight.sum(1) + NET.bias)
    assert drawn is not NET
    assert_close(NET.weight, before)


def test_each_call_draws_another_module():
    draw = lifted({"weight": WEIGHT})
    assert not torch.equal(draw().weight, draw().weight)


def test_one_prior_may_serve_all_parameters():
    def prior():
        return torch.zeros(1)

    drawn = lifted(prior)()
    assert_close(drawn.bias, torch.zeros(1))
    assert_close(drawn.weight, torch.zeros(1))
