"""Modules and the parameter store agree."""

import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, SupportError
from ppl.nn import PyroModule, PyroParam
from ppl.primitives import clear_param_store, get_param_store, param

from .trees import INPUT


class Reader(PyroModule):
    def __init__(self, value, name="root", constraint=constraints.positive):
        super().__init__(name)
        self.x = PyroParam(value, constraint)

    def forward(self):
        return self.x


def test_the_first_call_puts_the_leaf_of_the_module_into_the_store():
    module = Reader(torch.tensor(2.0))
    assert "root.x" not in get_param_store()
    module()
    assert module().unconstrained() is module.x_unconstrained
    assert get_param_store().param_name(module.x_unconstrained) == "root.x"


def test_a_value_of_the_store_goes_before_that_of_a_new_module():
    first, second = Reader(torch.tensor(2.0)), Reader(torch.tensor(5.0))
    first()
    leaf = first.x_unconstrained
    del first
    assert_close(second.x, torch.tensor(5.0))
    assert_close(second(), torch.tensor(2.0))
    assert second.x_unconstrained is leaf


def test_a_second_module_does_not_train_the_parameters_of_the_first():
    first, second = Reader(torch.tensor(2.0), ""), Reader(torch.tensor(5.0), "")
    first()
    with pytest.raises(SiteError, match=r"'x': it belongs to another module, a Reader"):
        second()
    assert_close((first.x, second.x), (torch.tensor(2.0), torch.tensor(5.0)))


def test_modules_that_were_given_one_name_share_their_parameters():
    first, second = Reader(torch.tensor(2.0)), Reader(torch.tensor(5.0))
    first()
    assert_close(second(), torch.tensor(2.0))
    assert first.x_unconstrained is second.x_unconstrained


def test_a_module_that_only_a_cycle_holds_is_gone():
    first, second = Reader(torch.tensor(2.0), ""), Reader(torch.tensor(5.0), "")
    first()
    first.__dict__["me"] = first
    del first
    assert_close(second(), torch.tensor(2.0))


def test_making_a_second_module_leaves_the_values_of_the_first_in_the_store():
    first = Reader(torch.tensor(2.0))
    first()
    second = Reader(torch.tensor(5.0))
    second.x = PyroParam(torch.tensor(6.0))
    del second.x
    assert_close(get_param_store()["root.x"], torch.tensor(2.0))


def test_a_value_assigned_in_the_store_reaches_the_module_and_keeps_its_leaf():
    module = Reader(torch.tensor(2.0))
    module()
    leaf = module.x_unconstrained
    get_param_store()["root.x"] = torch.tensor(7.0)
    assert_close(module(), torch.tensor(7.0))
    assert_close(module.x, torch.tensor(7.0))
    assert module.x_unconstrained is leaf
    assert module().unconstrained() is leaf


def test_a_stored_value_under_another_constraint_keeps_its_value():
    param("root.x", torch.tensor(7.0), constraints.real)
    module = Reader(torch.tensor(2.0))
    assert_close(module(), torch.tensor(7.0))
    assert_close(module.x, torch.tensor(7.0))


def test_a_stored_value_that_the_module_cannot_have_is_refused():
    param("root.x", torch.tensor(-7.0), constraints.real)
    with pytest.raises(SupportError, match=r"'root\.x'"):
        Reader(torch.tensor(2.0))()


def test_a_stored_value_of_another_shape_is_refused():
    Reader(torch.ones(3))()
    with pytest.raises(ShapeError, match=r"'root\.x'.*\(2,\).*\(3,\).*clear_param_store\(\)"):
        Reader(torch.ones(2))()


def test_a_module_keeps_its_value_when_the_store_is_cleared():
    module = Reader(torch.tensor(2.0))
    with torch.no_grad():
        module().unconstrained().fill_(1.0)
    value = module().detach().clone()
    clear_param_store()
    assert_close(module(), value)
    assert list(get_param_store()) == ["root.x"]


def test_tied_parameters_have_two_names_and_one_leaf():
    class Tied(PyroModule):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.ones(2))
            self.b = self.a

        def forward(self):
            return self.a * self.b

    module = Tied()
    trace = poutine.trace(module).get_trace()
    assert trace.param_nodes == ["a", "b"]
    module().sum().backward()
    assert_close(module.a.grad, torch.full((2,), 2.0))


def test_a_plain_module_computes_with_the_stored_values():
    class Plain(PyroModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.layer.bias.requires_grad_(False)

        def forward(self):
            return self.layer(INPUT)

    module = Plain()
    module()
    assert list(get_param_store()) == ["layer$$$weight"]
    get_param_store()["layer$$$weight"] = torch.zeros(1, 2)
    assert_close(module(), module.layer.bias)


def test_converting_the_module_converts_the_store():
    module = Reader(torch.tensor(2.0))
    module()
    module.double()
    assert_close(module(), torch.tensor(2.0, dtype=torch.float64))
    assert get_param_store()["root.x"].dtype == torch.float64
    assert module().unconstrained() is module.x_unconstrained
