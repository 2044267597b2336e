"""The parameter store: constrained outside, unconstrained inside, a dict in between."""

import copy
import pickle

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

from ppl.errors import MissingSiteError, SupportError
from ppl.nn import PyroModule, PyroParam
from ppl.params import (
    ParamStoreDict,
    module_from_param_with_module_name,
    param_with_module_name,
    user_param_name,
)
from ppl.primitives import get_param_store, param
from ppl.validation import validation_enabled

MATRIX = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
LOWER = torch.linalg.cholesky(MATRIX)
CORRELATION = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
VECTOR = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)

# every constraint of torch that a free tensor can be mapped to, and a value of it
CONSTRAINED = {
    "real": (constraints.real, VECTOR - 1),
    "real_vector": (constraints.real_vector, VECTOR - 1),
    "independent": (constraints.independent(constraints.positive, 1), VECTOR),
    "twice_independent": (
        constraints.independent(constraints.independent(constraints.positive, 1), 1),
        MATRIX,
    ),
    "positive": (constraints.positive, VECTOR),
    "nonnegative": (constraints.nonnegative, VECTOR),
    "greater_than": (constraints.greater_than(-2.0), VECTOR - 1),
    "greater_than_eq": (constraints.greater_than_eq(-2), VECTOR - 1),
    "greater_than_tensor": (constraints.greater_than(VECTOR), VECTOR + 1),
    "less_than": (constraints.less_than(3.0), VECTOR),
    "interval": (constraints.interval(-1, 4), VECTOR),
    "interval_of_tensors": (constraints.interval(VECTOR - 1, VECTOR + 2), VECTOR),
    "half_open_interval": (constraints.half_open_interval(0.0, 1.0), VECTOR),
    "unit_interval": (constraints.unit_interval, VECTOR),
    "simplex": (constraints.simplex, VECTOR),
    "lower_cholesky": (constraints.lower_cholesky, LOWER),
    "positive_definite": (constraints.positive_definite, MATRIX),
    "positive_semidefinite": (constraints.positive_semidefinite, MATRIX),
    "cat": (
        constraints.cat([constraints.positive, constraints.unit_interval], -1, [1, 2]),
        VECTOR,
    ),
    "stack": (constraints.stack([constraints.real, constraints.interval(0, 2)], -1), MATRIX),
    "corr_cholesky": (constraints.corr_cholesky, torch.linalg.cholesky(CORRELATION)),
}
every_constraint = pytest.mark.parametrize(
    ("constraint", "value"), CONSTRAINED.values(), ids=CONSTRAINED
)


@pytest.fixture
def store():
    return ParamStoreDict()


@every_constraint
def test_a_constrained_value_survives_the_store(store, constraint, value):
    stored = store.setdefault("p", value, constraint)
    assert_close(stored, value, rtol=1e-6, atol=1e-6)
    assert constraint.check(stored).all()
    leaf = stored.unconstrained()
    assert leaf.is_leaf
    assert leaf.requires_grad
    assert leaf.dtype is value.dtype


@every_constraint
def test_the_constraint_holds_wherever_the_leaf_goes(store, constraint, value):
    leaf = store.setdefault("p", value, constraint).unconstrained()
    with torch.no_grad():
        leaf.copy_(torch.randn(leaf.shape, dtype=leaf.dtype))
    assert constraint.check(store["p"]).all()


@every_constraint
def test_gradients_reach_the_leaf(store, constraint, value):
    weight = torch.arange(1.0, 1.0 + value.numel(), dtype=value.dtype).square().reshape(value.shape)
    stored = store.setdefault("p", value, constraint)
    (stored * weight).sum().backward()
    assert stored.unconstrained().grad.abs().sum() > 0


@every_constraint
def test_a_state_restores_values_and_constraints(store, constraint, value):
    store.setdefault("p", value, constraint)
    other = ParamStoreDict()
    other.set_state(store.get_state())
    assert torch.equal(other["p"], store["p"])
    assert other._constraints["p"] is constraint


# values


@pytest.mark.parametrize("init", [2.0, torch.tensor(2.0), lambda: torch.tensor(2.0), lambda: 2.0])
def test_an_initial_value_is_a_tensor_a_number_or_a_function_of_nothing(store, init):
    assert_close(store.setdefault("p", init, constraints.positive), torch.tensor(2.0))


def test_an_initial_value_is_computed_only_if_it_is_needed(store):
    store["p"] = torch.tensor(1.0)

    def refuse():
        raise AssertionError("the parameter exists already")

    assert_close(store.setdefault("p", refuse), torch.tensor(1.0))


def test_the_store_does_not_alias_the_initial_value(store):
    value = torch.ones(3)
    store["p"] = value
    value.fill_(7.0)
    assert_close(store["p"], torch.ones(3))


def test_an_unconstrained_leaf_is_kept_itself(store):
    leaf = torch.nn.Parameter(torch.ones(3))
    store["p"] = leaf
    assert store["p"] is leaf
    assert store["p"].unconstrained() is leaf


def test_setting_a_value_keeps_the_constraint(store):
    store.setdefault("p", torch.tensor(1.0), constraints.positive)
    store["p"] = torch.tensor(3.0)
    assert_close(store["p"].unconstrained(), torch.tensor(3.0).log())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("known", lambda store: store.__setitem__("known", torch.tensor(-1.0))),
        ("new", lambda store: store.__setitem__("new", torch.tensor(float("nan")))),
        ("new", lambda store: store.setdefault("new", torch.tensor(-1.0), constraints.positive)),
    ],
    ids=["set", "set anew", "setdefault"],
)
def test_a_value_outside_the_constraint_is_refused_and_changes_nothing(store, name, write):
    store.setdefault("known", torch.tensor(1.0), constraints.positive)
    with pytest.raises(SupportError, match=f"parameter '{name}': the value must fulfil .*got"):
        write(store)
    assert list(store) == list(store._constraints) == ["known"]
    assert_close(store["known"], torch.tensor(1.0))


def test_values_are_not_checked_when_validation_is_off(store):
    with validation_enabled(False):
        store["p"] = torch.tensor(float("nan"))
    assert store["p"].isnan()


def test_replace_param_gives_a_new_value(store):
    old = store.setdefault("p", torch.tensor(1.0), constraints.positive)
    store.replace_param("p", torch.tensor(3.0), old)
    assert_close(store["p"], torch.tensor(3.0))
    store.replace_param("p", torch.tensor(4.0), store["p"].unconstrained())
    assert_close(store["p"], torch.tensor(4.0))
    with pytest.raises(MissingSiteError, match="is not parameter 'p'"):
        store.replace_param("p", torch.tensor(5.0), old)


# a dict


def test_the_store_is_a_dict_of_constrained_values(store):
    assert not store
    store.setdefault("a", torch.tensor(1.0), constraints.positive)
    store["b"] = torch.tensor(2.0)
    assert store
    assert len(store) == 2
    assert list(store) == list(store.keys()) == ["a", "b"]
    assert "a" in store
    assert "c" not in store
    assert [value.item() for value in store.values()] == [1.0, 2.0]
    assert {name: value.item() for name, value in store.items()} == {"a": 1.0, "b": 2.0}


def test_a_deleted_parameter_leaves_nothing_behind(store):
    leaf = store.setdefault("p", torch.tensor(1.0), constraints.positive).unconstrained()
    del store["p"]
    assert "p" not in store
    assert store.param_name(leaf) is None
    store["p"] = torch.tensor(-1.0)  # the constraint is gone too
    assert store["p"] == -1.0


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store["weigth"],
        lambda store: store.get_param("weigth"),
        lambda store: store.__delitem__("weigth"),
        lambda store: store.replace_param("weigth", torch.ones(()), torch.ones(())),
    ],
    ids=["getitem", "get_param", "delitem", "replace_param"],
)
def test_an_unknown_name_is_answered_with_the_nearest(store, ask):
    store["weight"] = torch.tensor(1.0)
    with pytest.raises(KeyError) as caught:
        ask(store)
    assert isinstance(caught.value, MissingSiteError)
    assert str(caught.value) == (
        "there is no parameter 'weigth'; did you mean 'weight'?; give its first param statement "
        "an initial value"
    )


def test_match_finds_parameters_by_regular_expression(store):
    for name in ("net$$$a", "net$$$b", "other"):
        store[name] = torch.tensor(1.0)
    assert list(store.match(r"net\$\$\$.*")) == ["net$$$a", "net$$$b"]
    with pytest.raises(MissingSiteError, match="no parameter matches 'x'"):
        store.match("x")


def test_leaves_are_known_by_name(store):
    store.setdefault("p", torch.tensor(1.0), constraints.positive)
    [(name, leaf)] = store.named_parameters()
    assert (name, store.param_name(leaf)) == ("p", "p")
    assert store.param_name(torch.ones(1)) is None
    assert list(store.get_all_param_names()) == ["p"]


def test_names_of_module_parameters_have_two_parts():
    full = param_with_module_name("net", "layer.weight")
    assert full == "net$$$layer.weight"
    assert module_from_param_with_module_name(full) == "net"
    assert user_param_name(full) == "layer.weight"
    assert user_param_name("plain") == "plain"


# states


def test_a_state_does_not_alias_the_store(store):
    store["p"] = torch.tensor(1.0)
    state = store.get_state()
    with torch.no_grad():
        store["p"].fill_(2.0)
    assert state["params"]["p"] == 1.0
    store.set_state(state)
    with torch.no_grad():
        store["p"].fill_(3.0)
    assert state["params"]["p"] == 1.0


def test_a_state_replaces_everything(store):
    store["p"] = torch.tensor(1.0)
    state = store.get_state()
    store["q"] = torch.tensor(2.0)
    store.set_state(state)
    assert list(store) == ["p"]


@pytest.mark.parametrize(
    "state",
    [
        {"params": {"p": torch.ones(1)}, "constraints": {}},
        {"params": {}, "constraints": {"p": constraints.real}},
    ],
)
def test_a_bad_state_leaves_the_store_as_it_was(store, state):
    store["kept"] = torch.tensor(1.0)
    with pytest.raises(MissingSiteError, match=r"lacks values or constraints of \['p'\]"):
        store.set_state(state)
    assert list(store) == ["kept"]


def test_a_scope_has_parameters_of_its_own_and_gives_them_back(store):
    store["outside"] = torch.tensor(1.0)
    outside = store["outside"]
    with store.scope() as inside:
        assert not store
        store["inside"] = torch.tensor(2.0)
    assert store["outside"] is outside
    assert list(store) == ["outside"]
    with store.scope(inside):
        assert_close(store["inside"], torch.tensor(2.0))
        store["inside"] = torch.tensor(3.0)
    assert inside["params"]["inside"] == 3.0


@pytest.mark.parametrize("state", [None, {"params": {"p": torch.ones(1)}, "constraints": {}}])
def test_a_scope_that_fails_gives_the_parameters_back(store, state):
    store["outside"] = torch.tensor(1.0)
    with pytest.raises((MissingSiteError, ZeroDivisionError)), store.scope(state):
        raise ZeroDivisionError
    assert list(store) == ["outside"]


# copies of values


@pytest.mark.parametrize("constraint", [constraints.real, constraints.positive], ids=str)
def test_values_can_be_pickled(store, constraint):
    value = store.setdefault("p", torch.tensor(1.5), constraint)
    assert_close(pickle.loads(pickle.dumps(value)), value)


def test_a_registered_module_can_be_pickled_and_copied(store):
    net = torch.nn.Linear(2, 1)
    for name, parameter in net.named_parameters():
        store.setdefault(name, parameter)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_close(again.weight, net.weight)
        assert again.weight is not net.weight


def test_tied_parameters_are_deleted_and_replaced_one_by_one():
    store, leaf = ParamStoreDict(), torch.nn.Parameter(torch.zeros(2))
    store.setdefault("a", leaf)
    store.setdefault("b", leaf)
    del store["b"]
    assert store.param_name(leaf) == "a"
    store.setdefault("b", leaf)
    store["a"] = torch.ones(2)
    assert store.param_name(leaf) == "b"
    del store["a"]
    del store["b"]
    assert store.param_name(leaf) is None


# transform_to exists for starts that do not fulfil the constraint: a start is projected where it
# can be, and refused only where the result would be nan.

STARTS = [
    (constraints.simplex, torch.ones(3), torch.full((3,), 1 / 3)),
    (constraints.simplex, torch.tensor([1.0, 3.0]), torch.tensor([0.25, 0.75])),
    (constraints.lower_cholesky, torch.ones(2, 2), torch.ones(2, 2).tril()),
    (constraints.positive, torch.tensor([0.0, 2.0]), torch.tensor([0.0, 2.0])),
    (constraints.greater_than(1.0), torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0])),
    (constraints.independent(constraints.simplex, 1), torch.ones(2, 2), torch.full((2, 2), 0.5)),
]


@pytest.mark.parametrize("constraint,start,expected", STARTS, ids=str)
def test_a_start_outside_of_the_constraint_is_projected_and_can_be_moved(
    constraint, start, expected
):
    class Holder(PyroModule):
        pass

    holder = Holder()
    holder.x = PyroParam(start, constraint)
    value = param("x", start, constraint)
    for got in (value, holder.x):
        assert_close(got.detach(), expected)
    assert value.unconstrained().isfinite().all()


@pytest.mark.parametrize(
    "constraint,start",
    [
        (constraints.positive, torch.tensor(-1.0)),
        (constraints.positive, torch.tensor(torch.nan)),
        (constraints.simplex, torch.tensor([2.0, -1.0])),
        (constraints.simplex, torch.zeros(3)),
        (constraints.lower_cholesky, torch.tensor([[1.0, 0.0], [0.0, -1.0]])),
        (constraints.positive_definite, -torch.eye(2)),
    ],
    ids=str,
)
def test_a_start_without_projection_is_refused(constraint, start):
    with pytest.raises(SupportError, match="'x': the value must fulfil"):
        param("x", start, constraint)
    assert "x" not in get_param_store()
