"""What a statement or a handler answers to arguments that make no sense, one table for all.

The law that was missing: a wrong type, an unknown keyword and a missing argument are refused where
they are passed, by an error that is ours and a TypeError (and the ValueError that it always was);
nothing is dropped, guessed or taken letter by letter.
"""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import constraints

import ppl
import ppl.poutine as poutine
import ppl.primitives as primitives
from ppl.errors import PPLError, SiteTypeError
from ppl.plates import plate_stack

from .distribution.families import Normal

NORMAL = Normal(0.0, 1.0)
NET = nn.Linear(2, 1)

GOOD = {  # a call that is right
    "barrier": {"data": torch.zeros(2)},
    "clear_param_store": {},
    "deterministic": {"name": "d", "value": torch.zeros(2), "event_dim": 1},
    "factor": {"name": "f", "log_factor": torch.zeros(())},
    "get_param_store": {},
    "module": {"name": "m", "nn_module": NET},
    "param": {"name": "p", "init_tensor": torch.ones(2), "constraint": constraints.positive},
    "param_store": {},
    "plate": {"name": "a", "size": 3},
    "plate_stack": {"prefix": "g", "sizes": (2, 3)},
    "sample": {"name": "x", "fn": NORMAL},
    "subsample": {"data": torch.zeros(3), "event_dim": 0},
    "block": {"hide": ["x"]},
    "broadcast": {},
    "collapse": {"sites": ["x"]},
    "condition": {"data": {"x": torch.zeros(())}},
    "do": {"data": {"x": torch.zeros(())}},
    "enum": {"first_available_dim": -1},
    "equalize": {"sites": "x"},
    "escape": {"escape_fn": lambda site: False},
    "infer_config": {"config_fn": lambda site: {}},
    "lift": {"prior": NORMAL},
    "markov": {"history": 1},
    "mask": {"mask": True},
    "queue": {"queue": type("Q", (), {"get": poutine.Trace, "empty": bool})()},
    "reparam": {"config": {}},
    "replay": {"trace": poutine.Trace()},
    "scale": {"scale": 2.0},
    "seed": {"rng_seed": 0},
    "substitute": {"data": {"x": torch.zeros(())}},
    "trace": {"graph_type": "dense"},
    "uncondition": {},
}

WRONG = {  # values of the wrong type, by argument
    "deterministic": {"name": [3, None], "value": ["x", NORMAL, None], "event_dim": ["1", 0.5]},
    "factor": {"name": [3], "log_factor": ["x", NORMAL, None]},
    "module": {"name": [3], "nn_module": [nn.Linear, "net", None]},
    "param": {
        "name": [3],
        "init_tensor": ["x", ["x"], lambda: "x"],
        "constraint": ["positive", constraints.greater_than, 0.0],
        "event_dim": ["1", 0.5],
    },
    "plate": {
        "name": [3],
        "size": ["3", torch.zeros(3), [3]],
        "subsample_size": ["2", [1, 2]],
        "subsample": [3, "abc", [0.5], [[1]]],
        "dim": ["-1", -1.0],
    },
    "plate_stack": {"prefix": [3], "sizes": [3, "23"], "rightmost_dim": ["-1"]},
    "sample": {
        "name": [3, NORMAL],
        "fn": [Normal, torch.distributions.Normal, 3.0, None, "Normal"],
        "obs": ["one", NORMAL, {"x": 1.0}, np.array(["a"]), ["a", "b"], object()],
        "obs_mask": ["x"],
        "infer": ["parallel", ["enumerate"]],
    },
    "subsample": {"data": ["x", NORMAL, None], "event_dim": ["0", None, 0.0]},
    "block": {
        "hide": ["x", 3, [3]],
        "expose": ["x", 3],
        "hide_types": ["sample"],
        "expose_types": ["sample"],
        "hide_fn": [["x"], "x"],
        "expose_fn": [["x"], "x"],
    },
    "collapse": {"sites": ["x", 3]},
    "condition": {"data": ["x", [1.0], 3.0, lambda site: 0.0]},
    "do": {"data": ["x", [1.0], 3.0]},
    "enum": {"first_available_dim": ["-1", -1.0]},
    "equalize": {"sites": [3, [3]]},
    "escape": {"escape_fn": ["x", {"x": True}]},
    "infer_config": {"config_fn": [{"x": {}}, "x"]},
    "lift": {"prior": [3.0, "x", [NORMAL]]},
    "markov": {"history": ["1", 1.0]},
    "mask": {"mask": ["yes", 0.5, [True]]},
    "queue": {"queue": [3, []], "max_tries": ["3"], "extend_fn": [3], "escape_fn": [3]},
    "reparam": {"config": ["x", 3, ["x"]]},
    "replay": {"trace": [{"x": 0.0}, "x", 3], "params": ["x", 3]},
    "scale": {"scale": ["2", [2.0]]},
    "seed": {"rng_seed": ["0", 1.5]},
    "substitute": {"data": ["x", [1.0], 3.0]},
    "trace": {"graph_type": [True, "sparse"], "param_only": ["x"]},
}
HANDLERS = [name for name in vars(poutine) if name in GOOD]
PRIMITIVES = [name for name in GOOD if name not in HANDLERS]


def call(name, arguments):
    """Make a call as programs do; a handler is a context, and with blocks are entered."""
    made = getattr(poutine if name in HANDLERS else ppl, name)(**arguments)
    if name == "plate_stack":
        made.__enter__()
    return made


def test_the_tables_have_every_primitive_and_every_handler():
    not_handlers = {"get_mask", "unwrap", "enable_validation", "is_validation_enabled"}
    functions = {n for n, x in vars(poutine).items() if inspect.isfunction(x) and n[0] != "_"}
    assert set(HANDLERS) == functions - not_handlers
    assert set(PRIMITIVES) == {*primitives.__all__, plate_stack.__name__}


@pytest.mark.parametrize("name", GOOD)
def test_the_calls_of_the_table_are_right(name):
    with ppl.poutine.block():
        call(name, GOOD[name])


CASES = [(n, a, x) for n, table in WRONG.items() for a, values in table.items() for x in values]


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    CASES,
    ids=[f"{n}-{a}-{type(x).__name__}-{i}" for i, (n, a, x) in enumerate(CASES)],
)
def test_an_argument_of_a_wrong_type_is_refused(name, argument, value):
    with pytest.raises(PPLError) as caught:
        call(name, {**GOOD[name], argument: value})
    assert isinstance(caught.value, (TypeError, ValueError))


@pytest.mark.parametrize("name", [name for name in GOOD if GOOD[name]])
def test_a_misspelt_keyword_is_answered_with_the_nearest(name):
    keyword = list(GOOD[name])[-1]
    rest = {key: value for key, value in GOOD[name].items() if key != keyword}
    misspelt = keyword[:-1] + "q" if len(keyword) > 2 else keyword + "q"
    with pytest.raises(SiteTypeError, match=f"no argument '{misspelt}'.* did you mean '{keyword}'"):
        call(name, {**rest, misspelt: GOOD[name][keyword]})


def required(name):
    """The arguments that a primitive or handler cannot do without."""
    function = getattr(poutine if name in HANDLERS else ppl, name)
    parameters = inspect.signature(function).parameters.values()
    return [
        p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]


REQUIRED = [(name, argument) for name in GOOD for argument in required(name)]


@pytest.mark.parametrize(("name", "argument"), REQUIRED)
def test_a_missing_argument_is_named(name, argument):
    given = {key: value for key, value in GOOD[name].items() if key != argument}
    with pytest.raises(SiteTypeError, match=f"missing a required argument: '{argument}'"):
        call(name, given)


NEEDED = {  # by handlers, whose signature has fn=None first
    "condition": "data", "do": "data", "equalize": "sites", "escape": "escape_fn",
    "infer_config": "config_fn", "lift": "prior", "mask": "mask", "reparam": "config",
    "scale": "scale", "seed": "rng_seed", "substitute": "data",
}  # fmt: skip


@pytest.mark.parametrize(("name", "argument"), NEEDED.items())
def test_a_handler_names_what_it_misses(name, argument):
    with pytest.raises(SiteTypeError, match=f"{name}: missing a required argument: '{argument}'"):
        getattr(poutine, name)(lambda: None)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_of_no_program_is_refused(name):
    with pytest.raises(SiteTypeError, match=f"{name} wraps a callable"):
        getattr(poutine, name)(3, **GOOD[name])


@pytest.mark.parametrize("keyword", ["observed", "ob", "inferr", "loc"])
def test_a_keyword_of_sample_that_its_distribution_does_not_take_is_refused(keyword):
    with pytest.raises(SiteTypeError, match=f"sample 'x' takes no argument '{keyword}'"):
        ppl.sample("x", NORMAL, **{keyword: torch.zeros(())})


def test_a_keyword_of_sample_goes_to_a_function():
    assert ppl.sample("x", lambda loc: loc, loc=3.0) == 3.0


@pytest.mark.parametrize("statement", ["condition", "do", "substitute"])
def test_a_value_that_is_no_tensor_is_refused_with_its_site(statement):
    program = getattr(poutine, statement)(lambda: ppl.sample("x", NORMAL), data={"x": "one"})
    with pytest.raises(SiteTypeError, match="site 'x': expected a tensor.*got 'one'"):
        poutine.trace(program).get_trace()


def test_a_class_in_the_place_of_a_distribution_says_what_to_write():
    with pytest.raises(
        SiteTypeError, match=r"site 'x': Normal is the class; write Normal\(\.\.\.\)"
    ):
        ppl.sample("x", Normal)


def test_a_name_is_not_taken_letter_by_letter():
    with pytest.raises(SiteTypeError, match=r"hide of block takes a list .*write \['scale'\]"):
        poutine.block(hide="scale")


def test_the_type_error_of_a_model_is_its_own():
    def model():
        return len(3)

    with pytest.raises(TypeError, match=r"object of type 'int' has no len") as caught:
        ppl.sample("x", model)
    assert not isinstance(caught.value, PPLError)
