"""Learnable attributes: values, constraints, assignment, plates."""

import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import SiteError, SupportError
from ppl.nn import PyroModule, PyroParam, PyroSample
from ppl.primitives import get_param_store, plate
from ppl.validation import validation_enabled

from .trees import standard

VALUES = [
    (constraints.real, torch.tensor([-1.0, 2.0])),
    (constraints.positive, torch.tensor([0.1, 2.0])),
    (constraints.unit_interval, torch.tensor([0.1, 0.9])),
    (constraints.interval(2.0, 3.0), torch.tensor([2.1, 2.9])),
    (constraints.simplex, torch.tensor([0.1, 0.9])),
    (constraints.lower_cholesky, torch.tensor([[1.0, 0.0], [-0.5, 2.0]])),
    (constraints.independent(constraints.positive, 1), torch.tensor([0.1, 2.0])),
]
every_constraint = pytest.mark.parametrize(("constraint", "value"), VALUES, ids=str)


class Reader(PyroModule):
    """Returns its attribute ``x``."""

    def forward(self):
        return self.x


@every_constraint
def test_an_attribute_has_its_initial_value_inside_and_outside_of_calls(constraint, value):
    module = Reader()
    module.x = PyroParam(value, constraint)
    assert_close(module.x, value)
    assert_close(module(), value)


@every_constraint
def test_the_constraint_holds_wherever_the_leaf_goes(constraint, value):
    module = Reader()
    module.x = PyroParam(value, constraint)
    with torch.no_grad():
        module.x_unconstrained.add_(torch.randn_like(module.x_unconstrained))
    assert constraint.check(module()).all()
    assert not torch.allclose(module(), value)


@every_constraint
def test_an_assigned_value_is_kept_in_the_same_leaf(constraint, value):
    module = Reader()
    module.x = PyroParam(value.double(), constraint)
    leaf = module.x_unconstrained
    with torch.no_grad():
        leaf.add_(1.0)
    module()
    module.x = value.double()
    assert module.x_unconstrained is leaf
    assert_close(module(), value.double())
    assert_close(get_param_store()["x"], value.double())


def test_a_number_may_be_assigned():
    module = Reader()
    module.x = PyroParam(1, constraints.positive)
    module.x = 3.0
    assert_close(module(), torch.tensor(3.0))


def test_an_initial_value_may_be_a_function():
    module = Reader()
    module.x = PyroParam(lambda: torch.ones(3))
    assert_close(module(), torch.ones(3))


def test_the_leaf_does_not_alias_the_initial_value():
    value = torch.ones(2)
    module = Reader()
    module.x = PyroParam(value)
    value.zero_()
    assert_close(module(), torch.ones(2))


def test_a_leaf_is_a_parameter_of_torch_with_its_own_name():
    module = Reader()
    module.x = PyroParam(torch.ones(2), constraints.positive)
    assert [name for name, _ in module.named_parameters()] == ["x_unconstrained"]
    assert list(module.state_dict()) == ["x_unconstrained"]
    assert [name for name, _ in module.named_pyro_params()] == ["x"]
    assert module.double()().dtype == torch.float64


def test_named_pyro_params_takes_a_prefix_and_may_stay_at_the_top():
    root = PyroModule()
    root.x, root.child = PyroParam(torch.ones(())), nn.Linear(1, 1)
    assert [name for name, _ in root.named_pyro_params("root")] == [
        "root.x",
        "root.child.weight",
        "root.child.bias",
    ]
    assert [name for name, _ in root.named_pyro_params(recurse=False)] == ["x"]


def test_a_parameter_with_event_dim_is_subsampled_by_plates():
    class Subsampled(PyroModule):
        def __init__(self):
            super().__init__()
            self.x = PyroParam(torch.arange(1.0, 11.0), constraints.positive, event_dim=0)

        def forward(self):
            with plate("data", 10, subsample=torch.tensor([3, 7])):
                inside = self.x
            return self.x, inside

    whole, part = Subsampled()()
    assert_close(part, whole[[3, 7]])
    assert_close(whole, torch.arange(1.0, 11.0))


def test_event_dim_makes_events_of_elementwise_constraints():
    module = Reader()
    module.x = PyroParam(torch.ones(3, 2), constraints.positive, event_dim=2)
    kwargs = poutine.trace(module).get_trace().nodes["x"]["kwargs"]
    assert kwargs["constraint"].event_dim == kwargs["event_dim"] == 2


def test_a_declared_parameter_is_made_once_for_each_instance():
    calls = []

    class Declared(PyroModule):
        @PyroParam(constraint=constraints.positive)
        def x(self):
            calls.append(self)
            return torch.ones(2)

        def forward(self):
            return self.x

    one, other = Declared("one"), Declared("other")
    for module in (one, other, one, other):
        module()
    assert len(calls) == 2
    one.x = torch.full((2,), 5.0)
    assert_close(one(), torch.full((2,), 5.0))
    assert_close(other(), torch.ones(2))


def test_a_declaration_of_a_class_is_itself_when_read_from_the_class():
    class Declared(PyroModule):
        x = PyroParam(torch.tensor(2.0))

    assert isinstance(Declared.x, PyroParam)
    assert_close(Declared().x, torch.tensor(2.0))


def test_the_fields_have_names_and_defaults():
    init_value, constraint, event_dim = PyroParam()
    assert (init_value, constraint, event_dim) == (None, constraints.real, None)


def test_a_frozen_parameter_is_a_constant():
    module = Reader()
    module.x = PyroParam(torch.ones(2), constraints.positive)
    module.x_unconstrained.requires_grad_(False)
    trace = poutine.trace(module).get_trace()
    assert trace.param_nodes == []
    assert not trace.nodes["_RETURN"]["value"].requires_grad


KINDS = {
    "parameter": lambda: nn.Parameter(torch.tensor(2.0)),
    "declared": lambda: PyroParam(torch.tensor(3.0), constraints.positive),
    "random": lambda: PyroSample(standard()),
    "module": lambda: nn.Linear(1, 1),
    "managed module": lambda: Reader(),
    "nothing": lambda: None,
}


REPLACEMENTS = [  # torch refuses to put a module in the place of a parameter
    (before, after)
    for before in KINDS
    for after in KINDS
    if not (before == "parameter" and after in ("module", "managed module"))
]


@pytest.mark.parametrize(("before", "after"), REPLACEMENTS)
def test_an_attribute_may_be_replaced_by_any_other_kind(before, after):
    module, fresh = Reader("root"), Reader("root")
    module.x = KINDS[before]()
    if before == "managed module":
        module.x.x = PyroParam(torch.tensor(9.0))
        module.x()
    module()
    module.x = new = KINDS[after]()
    assert "root.x" not in get_param_store()
    assert not any(name.startswith("root.x") for name in get_param_store())
    fresh.x = new
    assert list(module.state_dict()) == list(fresh.state_dict())
    sites = poutine.trace(module).get_trace().nodes
    with get_param_store().scope():
        assert sites.keys() == poutine.trace(fresh).get_trace().nodes.keys()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nothing"])
def test_a_deleted_attribute_is_gone_from_module_and_store(kind):
    module = Reader()
    module.x = KINDS[kind]()
    module()
    del module.x
    assert not hasattr(module, "x")
    assert list(module.state_dict()) == list(get_param_store()) == []


@pytest.mark.parametrize("value", [torch.ones(2), nn.Linear(1, 1), 3.0], ids=type)
def test_what_torch_refuses_in_the_place_of_a_parameter_changes_nothing(value):
    module = Reader()
    module.x = nn.Parameter(torch.ones(2))
    module()
    with pytest.raises(TypeError, match="cannot assign"):
        module.x = value
    assert get_param_store()["x"] is module.x


@pytest.mark.parametrize(
    "assign",
    [PyroParam(torch.tensor(-1.0), constraints.positive), torch.tensor(-1.0)],
    ids=["declare", "assign"],
)
def test_a_value_outside_the_constraint_is_refused_and_changes_nothing(assign):
    module = Reader("root")
    module.x = PyroParam(torch.tensor(2.0), constraints.positive)
    with pytest.raises(SupportError, match=r"'root\.x'.*-1"):
        module.x = assign
    assert_close(module(), torch.tensor(2.0))


def test_values_are_not_checked_when_validation_is_off():
    module = Reader()
    with validation_enabled(False):
        module.x = PyroParam(torch.tensor(-1.0), constraints.positive)
    assert module.x.isnan()


def test_a_parameter_needs_an_initial_value():
    module = Reader("root")
    with pytest.raises(SiteError, match=r"'root\.x': PyroParam needs an initial value"):
        module.x = PyroParam()


def test_an_attribute_error_in_a_declaration_is_not_mistaken_for_a_missing_attribute():
    class Wrong(PyroModule):
        @PyroParam
        def x(self):
            return self.misspelled

    with pytest.raises(SiteError, match=r"'x' failed: .*'misspelled'"):
        _ = Wrong().x


def test_attributes_need_an_initialized_module():
    class Hasty(PyroModule):
        def __init__(self):
            self.x = PyroParam(torch.ones(2))
            super().__init__()

    with pytest.raises(AttributeError, match="before Module"):
        Hasty()
