"""Classes and trees: mixing in, converting, growing, lists."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.nn import PyroModule, PyroModuleList, PyroParam, PyroSample
from ppl.nn.module import to_pyro_module_
from ppl.primitives import get_param_store

from .trees import INPUT, Own, standard


class Scaled(PyroModule[nn.Linear]):
    """A class of its own on top of one that was made on demand."""

    def forward(self, x):
        return 2 * super().forward(x)


class Old(nn.Module):
    """Calls the initializer of nn.Module by name, as old code does."""

    def __init__(self):
        nn.Module.__init__(self)
        self.w = nn.Parameter(torch.ones(2))

    def forward(self):
        return self.w


def test_a_mixed_class_is_made_once():
    assert PyroModule[nn.Linear] is PyroModule[nn.Linear]
    assert issubclass(PyroModule[nn.Linear], (nn.Linear, PyroModule))
    assert PyroModule[nn.Linear].__name__ == "PyroLinear"


@pytest.mark.parametrize("cls", [Own, Scaled, PyroModule, PyroModule[nn.Linear], PyroModuleList])
def test_a_class_that_has_it_mixed_in_is_left_alone(cls):
    assert PyroModule[cls] is cls


def test_the_class_of_all_modules_becomes_the_class_itself():
    assert PyroModule[nn.Module] is PyroModule


@pytest.mark.parametrize("cls", [Own, Scaled, PyroModule, PyroModule[nn.Linear], PyroModuleList])
def test_classes_can_be_pickled_and_copied(cls):
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert copy.deepcopy(cls) is cls


@pytest.mark.parametrize("base", [3, int, nn.Linear(1, 1)], ids=repr)
def test_only_classes_of_modules_can_be_mixed_in(base):
    with pytest.raises(SiteError, match="takes a subclass of torch.nn.Module"):
        PyroModule[base]


def test_a_mixed_layer_computes_what_the_layer_does():
    layer, mixed = nn.Linear(2, 3), PyroModule[nn.Linear](2, 3)
    mixed.load_state_dict(layer.state_dict())
    assert_close(mixed(INPUT), layer(INPUT))
    assert poutine.trace(mixed).get_trace(INPUT).param_nodes == ["weight", "bias"]


def test_a_missing_bias_stays_missing():
    layer = PyroModule[nn.Linear](2, 3, bias=False)
    assert poutine.trace(layer).get_trace(INPUT).param_nodes == ["weight"]


def test_a_module_that_skips_super_can_be_mixed_in():
    assert poutine.trace(PyroModule[Old]()).get_trace().param_nodes == ["w"]


def test_a_missing_attribute_is_reported_as_usual():
    with pytest.raises(AttributeError, match="'Own' object has no attribute 'misspelled'"):
        _ = Own().misspelled


def network():
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 1)))


@pytest.mark.parametrize("recurse", [True, False])
def test_a_converted_module_is_the_same_with_new_abilities(recurse):
    net = network()
    before = net(INPUT)
    to_pyro_module_(net, recurse=recurse)
    assert type(net) is PyroModule[nn.Sequential]
    assert all(isinstance(module, PyroModule) == recurse for module in [net[0], net[1], net[1][1]])
    assert_close(net(INPUT), before)
    names = ["0.weight", "0.bias", "1.1.weight", "1.1.bias"]
    assert poutine.trace(net).get_trace(INPUT).param_nodes == (names if recurse else [])


def test_converting_twice_changes_nothing():
    net = network()
    to_pyro_module_(net)
    net[0].weight = PyroSample(standard(2, 2))
    to_pyro_module_(net)
    assert poutine.trace(net).get_trace(INPUT).stochastic_nodes == ["0.weight"]


def test_only_instances_can_be_converted():
    with pytest.raises(SiteError, match="converts an instance of torch.nn.Module"):
        to_pyro_module_(nn.Linear)


def test_a_member_added_to_a_plain_container_later_gets_its_path():
    class Root(PyroModule):
        def __init__(self):
            super().__init__("root")
            self.members = nn.ModuleList()

        def forward(self):
            return sum(member() for member in self.members)

    root = Root()
    root.members.append(Own())
    root()
    root.members.append(Own())
    trace = poutine.trace(root).get_trace()
    assert trace.stochastic_nodes == [f"root.members.{i}.{name}" for i in (0, 1) for name in "xy"]


def test_a_replaced_submodule_starts_with_its_own_values():
    root = PyroModule("root")
    root.child = Own()
    root.child()
    root.child = new = Own()
    value = new.w.detach().clone()
    new()
    assert_close(new.w, value)
    root.add_module("child", Own())
    assert list(get_param_store()) == []


class Number(PyroModule):
    def __init__(self, value):
        super().__init__()
        self.x = PyroParam(torch.tensor(value))

    def forward(self):
        return self.x


CHANGES = {
    "append": lambda numbers: numbers.append(Number(9.0)),
    "extend": lambda numbers: numbers.extend([Number(8.0), Number(9.0)]),
    "insert": lambda numbers: numbers.insert(1, Number(9.0)),
    "delete": lambda numbers: numbers.__delitem__(0),
    "delete a slice": lambda numbers: numbers.__delitem__(slice(0, 2)),
    "pop": lambda numbers: numbers.pop(0),
    "replace": lambda numbers: numbers.__setitem__(0, Number(9.0)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_members_of_a_list_keep_their_values_whatever_their_number_becomes(change):
    class Numbers(PyroModule):
        def __init__(self):
            super().__init__("root")
            self.members = PyroModuleList([Number(1.0), Number(2.0), Number(3.0)])

        def forward(self):
            return [member() for member in self.members]

    root, oracle = Numbers(), nn.ModuleList([Number(1.0), Number(2.0), Number(3.0)])
    root()
    change(root.members)
    change(oracle)
    trace = poutine.trace(root).get_trace()
    assert trace.nodes["_RETURN"]["value"] == [member.x for member in oracle]
    assert trace.param_nodes == [f"root.members.{i}.x" for i in range(len(oracle))]
