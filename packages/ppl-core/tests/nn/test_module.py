"""Classes and trees: mixing in, converting, growing, lists."""

import copy
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

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


LIST_CHANGES = {
    "append": lambda numbers: numbers.append(Number(9.0)),
    "insert": lambda numbers: numbers.insert(1, Number(9.0)),
    "delete": lambda numbers: numbers.__delitem__(0),
    "delete a slice": lambda numbers: numbers.__delitem__(slice(0, 2)),
    "pop": lambda numbers: numbers.pop(0),
    "replace": lambda numbers: numbers.__setitem__(0, Number(9.0)),
    "delete and append": lambda numbers: (numbers.__delitem__(2), numbers.append(Number(9.0))),
}
DICT_CHANGES = {
    "add": lambda numbers: numbers.update({"d": Number(8.0), "e": Number(9.0)}),
    "delete": lambda numbers: numbers.__delitem__("a"),
    "pop": lambda numbers: numbers.pop("b"),
    "clear": lambda numbers: numbers.clear(),
    "replace": lambda numbers: numbers.__setitem__("a", Number(9.0)),
    "delete and add": lambda numbers: (numbers.pop("a"), numbers.update({"a": Number(9.0)})),
    "clear and add": lambda numbers: (numbers.clear(), numbers.update({"a": Number(9.0)})),
}


class Members(nn.Sequential):
    """A container of the user's own."""


LISTS = [nn.ModuleList, nn.Sequential, Members]
BASE_AND_CHANGE = [
    *((base, change) for base in LISTS for change in LIST_CHANGES.values()),
    *((nn.ModuleDict, change) for change in DICT_CHANGES.values()),
]
IDS = [
    *(f"{base.__name__}-{change}" for base in LISTS for change in LIST_CHANGES),
    *(f"ModuleDict-{change}" for change in DICT_CHANGES),
]


@pytest.mark.parametrize("base, change", BASE_AND_CHANGE, ids=IDS)
def test_members_keep_their_values_whatever_their_names_become(base, change):
    class Root(PyroModule):
        def __init__(self):
            super().__init__("root")
            self.members = filled(PyroModule[base])

        def forward(self):
            return [member() for member in self.members.children()]

    root, oracle = Root(), filled(base)
    root()
    change(root.members)
    change(oracle)
    trace = poutine.trace(root).get_trace()
    assert trace.nodes["_RETURN"]["value"] == [member.x for member in oracle.children()]
    assert trace.param_nodes == [f"root.members.{name}.x" for name, _ in oracle.named_children()]
    assert sorted(get_param_store()) == sorted(trace.param_nodes)


def filled(container):
    numbers = [Number(1.0), Number(2.0), Number(3.0)]
    if issubclass(container, nn.ModuleDict):
        return container(dict(zip("abc", numbers, strict=True)))
    return container(*numbers) if issubclass(container, nn.Sequential) else container(numbers)


def test_the_list_of_modules_has_a_name():
    assert PyroModuleList is PyroModule[nn.ModuleList]


def test_threads_that_mix_a_class_at_once_get_one():
    makers, second = [], threading.Event()

    class Base(nn.Module):
        def __init_subclass__(cls):
            makers.append(cls)
            if len(makers) > 1:
                second.set()
            second.wait(0.2)  # gives another thread the time to make one as well

    start = threading.Barrier(8)

    def mix():
        start.wait(10)
        return PyroModule[Base]

    with ThreadPoolExecutor(8) as pool:
        made = [run.result() for run in [pool.submit(mix) for _ in range(8)]]
    assert set(made) == set(makers) == {PyroModule[Base]}


LAYERS = [
    (nn.Bilinear(2, 3, 1), [torch.randn(4, 2), torch.randn(4, 3)]),
    (nn.BatchNorm1d(2), [torch.randn(4, 2)]),
    (nn.Conv1d(1, 2, 2), [torch.randn(1, 1, 5)]),
    (nn.Embedding(3, 2), [torch.tensor([0, 2])]),
    (nn.GRU(2, 3), [torch.randn(4, 1, 2)]),
    (nn.LSTM(2, 3, num_layers=2), [torch.randn(4, 1, 2)]),
    (nn.MultiheadAttention(4, 2), [torch.randn(3, 1, 4)] * 3),
    (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), [torch.randn(3, 1, 4)]),
]


@pytest.mark.parametrize("layer, inputs", LAYERS, ids=lambda x: type(x).__name__)
def test_a_converted_layer_of_torch_computes_with_its_statements(layer, inputs):
    converted = copy.deepcopy(layer)
    to_pyro_module_(converted)
    trace = poutine.trace(converted).get_trace(*inputs)
    assert_close(trace.nodes["_RETURN"]["value"], layer(*inputs))
    assert set(trace.param_nodes) == {name for name, _ in layer.named_parameters()}


def test_a_wrong_argument_of_a_module_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match="no argument 'out_feature'; did you mean 'out_features'"):
        PyroModule[nn.Linear](3, out_feature=2)
    assert [*inspect.signature(PyroModule[nn.Linear]).parameters][:2] == [
        "in_features",
        "out_features",
    ]
