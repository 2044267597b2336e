"""What holds for every tree of modules, whatever it is made of."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl import settings
from ppl.distribution import Delta
from ppl.errors import SiteError
from ppl.nn import PyroModule, PyroSample
from ppl.nn.module import clear, to_pyro_module_
from ppl.primitives import get_param_store
from ppl.util import set_rng_seed

from .trees import CASES, DRAWN, Grown

every_tree = pytest.mark.parametrize("case", CASES, ids=str)
every_drawn_tree = pytest.mark.parametrize("case", DRAWN, ids=str)
every_name = pytest.mark.parametrize("name", ["", "root"], ids=["unnamed", "named"])


def traced(module, seed=0):
    set_rng_seed(seed)
    return poutine.trace(module).get_trace()


def values(trace):
    return {name: site["value"] for name, site in trace.nodes.items() if name != "_INPUT"}


def param_values(module):
    trace = traced(module)
    return {name: trace.nodes[name]["value"].detach().clone() for name in trace.param_nodes}


def assert_same_run(module, other, seed=0):
    """Both make the same statements with the same values, each with a store of its own."""
    with get_param_store().scope():
        expected = values(traced(module, seed))
    with get_param_store().scope():
        assert_close(values(traced(other, seed)), expected, rtol=0, atol=0)


def train(optimizer, module, steps=3):
    for step in range(steps):
        optimizer.zero_grad()
        set_rng_seed(step)
        module().backward()
        optimizer.step()


def leaves(trace):
    return [trace.nodes[name]["value"].unconstrained() for name in trace.param_nodes]


@every_name
@every_tree
def test_the_names_of_statements_are_the_paths_of_attributes(case, name):
    trace = traced(case.make(name))
    prefix = name and name + "."
    assert sorted(trace.param_nodes) == sorted(prefix + path for path in case.params)
    assert sorted(trace.stochastic_nodes) == sorted(prefix + path for path in case.samples)


@every_tree
def test_every_call_makes_each_statement_once(case):
    module, seen = case.make(), []

    class Count(poutine.messenger.Messenger):
        def _pyro_sample(self, msg):
            seen.append(msg["name"])

        _pyro_param = _pyro_sample

    for _ in range(2):
        seen.clear()
        with Count():
            module()
        assert sorted(seen) == sorted([*case.params, *case.samples])


@every_tree
def test_attributes_are_plain_values_outside_of_calls(case):
    module = case.make()
    with poutine.trace() as t:
        read = dict(module.named_pyro_params())
        for path in case.samples:
            owner, _, attribute = path.rpartition(".")
            assert isinstance(getattr(module.get_submodule(owner), attribute), torch.Tensor)
    assert len(t.trace) == 0
    assert len(get_param_store()) == 0
    assert all(isinstance(value, torch.Tensor) for value in read.values())


@every_tree
def test_values_outside_of_calls_are_those_of_the_statements(case):
    module = case.make()
    statements = values(traced(module))
    read = dict(module.named_pyro_params())
    assert sorted(read) == sorted(path.replace("$$$", ".") for path in case.params)
    for path in case.params:
        assert_close(read[path.replace("$$$", ".")], statements[path])


@every_tree
def test_module_and_store_hold_the_same_leaves(case):
    module = case.make()
    module()
    stored = {id(leaf) for _, leaf in get_param_store().named_parameters()}
    assert {id(leaf) for leaf in module.parameters() if leaf.requires_grad} >= stored
    assert sorted(get_param_store()) == sorted(case.params)


@every_tree
def test_a_loss_reaches_every_parameter(case):
    module = case.make()
    trace = traced(module)
    trace.nodes["_RETURN"]["value"].backward()
    for leaf in leaves(trace):
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


@every_tree
def test_optimizing_the_parameters_is_optimizing_the_store(case):
    module = case.make()
    with get_param_store().scope():
        traced(module)  # a tree may make parameters at its first call
    other = copy.deepcopy(module)
    with get_param_store().scope():
        train(torch.optim.Adam(module.parameters(), lr=0.1), module)
        of_parameters = values(traced(module))
    with get_param_store().scope():
        train(torch.optim.Adam(leaves(traced(other)), lr=0.1), other)
        of_store = values(traced(other))
    assert_close(of_store, of_parameters, rtol=0, atol=0)


@every_drawn_tree
def test_an_optimizer_may_be_made_before_the_first_call(case):
    module = case.make()
    early = list(module.parameters())
    before = [leaf.detach().clone() for leaf in early]
    train(torch.optim.SGD(early, lr=0.01), module, steps=1)
    used = {id(leaf) for leaf in leaves(traced(module))}
    for leaf, old in zip(early, before, strict=True):
        assert (id(leaf) in used) == (not torch.equal(leaf, old))


@every_tree
def test_functional_call_gives_the_gradients_of_the_store(case):
    module = case.make()
    module()
    parameters = {name: leaf.detach().clone() for name, leaf in module.named_parameters()}
    leaf_names = {id(leaf): name for name, leaf in module.named_parameters()}

    def functional(parameters):
        set_rng_seed(1)
        return torch.func.functional_call(module, parameters, ())

    with get_param_store().scope() as untouched:
        gradients = torch.func.grad(functional)(parameters)
    assert untouched["params"] == {}
    trace = traced(module, seed=1)
    trace.nodes["_RETURN"]["value"].backward()
    for leaf in leaves(trace):
        assert_close(gradients[leaf_names[id(leaf)]], leaf.grad)


@every_tree
def test_a_deep_copy_runs_alike_and_shares_nothing(case):
    module = case.make()
    module()
    again = copy.deepcopy(module)
    assert_same_run(module, again)
    assert not {id(p) for p in module.parameters()} & {id(p) for p in again.parameters()}
    assert again._pyro_context is not module._pyro_context


def assert_survives_a_file(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert type(again) is type(module)
    assert_same_run(module, again)
    assert_same_run(module, pickle.loads(pickle.dumps(module)))


@every_drawn_tree
def test_a_fresh_module_survives_a_file(case):
    assert_survives_a_file(case.make("root"))


@every_tree
def test_a_module_survives_a_file_after_a_call(case):
    module = case.make("root")
    module()
    assert_survives_a_file(module)


@every_tree
def test_a_state_dict_makes_another_module_run_alike(case):
    module, other = case.make(), case.make()
    for grown in (module, other) if case.make is Grown else (module,):
        with get_param_store().scope():
            grown()
    other.load_state_dict(module.state_dict())
    assert_same_run(module, other)


@every_tree
def test_parameters_survive_the_files_of_the_store(case, tmp_path):
    module, other = case.make(), case.make()
    expected = values(traced(module))
    get_param_store().save(tmp_path / "params")
    get_param_store().clear()
    get_param_store().load(tmp_path / "params")
    assert_close(values(traced(other)), expected)
    module_leaves = {id(leaf) for leaf in other.parameters()}
    assert all(id(leaf) in module_leaves for leaf in leaves(traced(other)))


@every_tree
def test_a_new_module_goes_on_with_the_parameters_of_one_that_is_gone(case):
    module = case.make("same")
    mine = leaves(traced(module))
    del module
    theirs = leaves(traced(case.make("same")))
    assert len(mine) == len(case.params)
    assert all(a is b for a, b in zip(mine, theirs, strict=True))


@every_tree
def test_two_modules_that_were_given_one_name_have_the_same_parameters(case):
    mine = leaves(traced(module := case.make("same")))
    theirs = leaves(traced(other := case.make("same")))
    assert all(a is b for a, b in zip(mine, theirs, strict=True))
    assert len(mine) == len(case.params) and other is not module


@every_tree
def test_two_modules_without_a_name_are_refused_and_both_keep_their_values(case):
    module, other = case.make(""), case.make("")
    expected = values(traced(module))
    if not case.params:
        return
    own = {name: p.clone() for name, p in other.named_parameters()}
    with pytest.raises(
        SiteError, match=r"belongs to another module.*super\(\).__init__\('second'\)"
    ):
        other()
    assert_close(values(traced(module)), expected)
    assert_close({name: p for name, p in other.named_parameters() if name in own}, own)


@every_tree
def test_a_copy_keeps_its_own_values_and_leaves_those_of_the_original_alone(case):
    module = case.make("same")
    module()
    again = copy.deepcopy(module)
    expected = param_values(again)
    with torch.no_grad():
        for leaf in module.parameters():
            leaf += 0.1
    moved = param_values(module)
    assert_close(param_values(again), expected)
    assert_close(param_values(module), moved)
    del module  # whose names the copy takes over
    assert_close(param_values(again), expected)
    assert_close(dict(get_param_store().items()), expected)


@every_tree
def test_making_a_module_after_a_file_is_loaded_loses_nothing(case):
    module = case.make("same")
    expected = param_values(module)
    state = get_param_store().get_state()
    del module
    get_param_store().set_state(state)
    assert_close(param_values(case.make("same")), expected)


@every_tree
def test_a_copy_follows_a_file_that_is_loaded(case):
    module = case.make("same")
    expected = values(traced(module))
    again = copy.deepcopy(module)
    state = get_param_store().get_state()
    with torch.no_grad():
        for leaf in again.parameters():
            leaf += 0.1
    get_param_store().set_state(state)
    assert_close(values(traced(again)), expected)


@every_tree
def test_modules_of_different_names_live_side_by_side(case):
    module, other = case.make("one"), case.make("two")
    mine, theirs = leaves(traced(module)), leaves(traced(other))
    assert not {id(leaf) for leaf in mine} & {id(leaf) for leaf in theirs}
    assert len(get_param_store()) == 2 * len(case.params)


@every_tree
def test_clear_leaves_nothing_behind(case):
    module = case.make("root")
    module()
    clear(module)
    assert list(get_param_store()) == []
    assert list(module.parameters()) == []


@every_tree
def test_local_parameters_leave_the_store_alone(case):
    module = case.make()
    with get_param_store().scope():
        expected = values(traced(module))
    with settings.context(module_local_params=True):
        trace = traced(module)
    assert len(get_param_store()) == 0
    assert_close(values(trace), expected)
    assert {id(leaf) for leaf in leaves(trace)} <= {id(leaf) for leaf in module.parameters()}


@every_tree
def test_substituted_parameters_leave_the_store_alone(case):
    module = case.make()
    with get_param_store().scope():
        given = values(traced(module))
    del given["_RETURN"]
    for name in case.params:
        given[name] = given[name].detach()
    trace = traced(poutine.substitute(module, given))
    assert len(get_param_store()) == 0
    assert_close({name: trace.nodes[name]["value"] for name in given}, given)


@every_tree
def test_lifted_parameters_are_sampled_once(case):
    module = case.make()
    given = values(traced(module))
    priors = {name: Delta(given[name], event_dim=given[name].dim()) for name in case.params}
    trace = traced(poutine.lift(module, priors))
    assert sorted(trace.stochastic_nodes) == sorted([*case.params, *case.samples])
    assert trace.param_nodes == []


# A part that is converted after it has found its owner: that names come from the place in the tree
# then, too, was the law that was missing.


class TwoLayers(PyroModule):
    def __init__(self, in_init=False):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1), nn.Tanh())
        if in_init:
            to_pyro_module_(self.a)
            to_pyro_module_(self.b)
            self.a.bias = PyroSample(Delta(torch.zeros(1), event_dim=1))
            self.b[0].bias = PyroSample(Delta(torch.zeros(1), event_dim=1))

    def forward(self):
        return self.b(self.a(torch.ones(1)))


@pytest.mark.parametrize("parts", [["a"], ["b"], ["a", "b"], ["b.0"], ["a", "b.0"]])
@pytest.mark.parametrize("is_called_before", [True, False])
def test_converting_a_part_of_a_module_leaves_its_output_alone(parts, is_called_before):
    net = TwoLayers()
    expected = net.b(net.a(torch.ones(1))).detach()
    if is_called_before:
        assert_close(net().detach(), expected)
    for part in parts:
        to_pyro_module_(net.get_submodule(part))
    assert_close(net().detach(), expected)
    names = poutine.trace(net).get_trace().param_nodes
    expected_names = ["a.bias", "a.weight", "b.0.bias", "b.0.weight"]
    assert sorted(name.replace("$$$", ".") for name in names) == expected_names


def test_parts_converted_by_their_owner_have_sites_of_their_own():
    trace = poutine.trace(TwoLayers(in_init=True)).get_trace()
    assert trace.stochastic_nodes == ["a.bias", "b.0.bias"]
    assert trace.param_nodes == ["a.weight", "b.0.weight"]


@pytest.mark.parametrize(
    "make", [PyroModule[nn.ModuleList], lambda m: PyroModule[nn.Sequential](*m)]
)
def test_members_of_a_slice_keep_their_names(make):
    class Sliced(PyroModule):
        def __init__(self):
            super().__init__()
            self.a, self.b = (make([PyroModule[nn.Linear](1, 1) for _ in "01"]) for _ in "ab")

        def forward(self):
            x = torch.ones(1)
            for layer in [*self.a[:1], *self.b[1:]]:
                x = layer(x)
            return x

    names = poutine.trace(Sliced()).get_trace().param_nodes
    assert names == ["a.0.weight", "a.0.bias", "b.1.weight", "b.1.bias"]
