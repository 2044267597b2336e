"""Warnings about nan and infinity, in values and in gradients."""

import math
import warnings

import numpy as np
import pytest
import torch

from ppl.errors import PPLWarning
from ppl.util import torch_isinf, torch_isnan, warn_if_inf, warn_if_nan

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "form", [float, np.float64, torch.tensor, lambda x: torch.tensor([0.0, x])]
)
@pytest.mark.parametrize("x", [0.0, NAN, INF, -INF])
def test_the_questions_have_one_answer_for_numbers_and_tensors(form, x):
    assert bool(torch_isnan(form(x))) is math.isnan(x)
    assert bool(torch_isinf(form(x))) is math.isinf(x)


def messages(check, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(*args, **kwargs)
    assert all(issubclass(w.category, PPLWarning) for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("form", [float, torch.tensor])
@pytest.mark.parametrize(
    ("check", "options", "x", "expected"),
    [
        (warn_if_nan, {}, NAN, ["loss: nan"]),
        (warn_if_nan, {}, INF, []),
        (warn_if_inf, {}, INF, ["loss: +inf"]),
        (warn_if_inf, {}, -INF, ["loss: -inf"]),
        (warn_if_inf, {"allow_posinf": True}, INF, []),
        (warn_if_inf, {"allow_posinf": True}, -INF, ["loss: -inf"]),
        (warn_if_inf, {"allow_neginf": True}, -INF, []),
        (warn_if_inf, {}, NAN, []),
    ],
)
def test_a_value_is_named_with_what_is_wrong(check, options, x, expected, form):
    assert messages(check, form(x), "loss", **options) == expected


def test_the_value_comes_back_as_it_is():
    x = torch.tensor(1.0)
    assert warn_if_nan(x) is x
    assert warn_if_inf(x) is x


@pytest.mark.parametrize(
    ("check", "function", "expected"),
    [
        (warn_if_nan, lambda x: x.sqrt() * 0, ["gradient of x: nan"]),
        (warn_if_inf, lambda x: x.sqrt(), ["gradient of x: +inf"]),
        (warn_if_inf, lambda x: -x.sqrt(), ["gradient of x: -inf"]),
        (warn_if_nan, lambda x: x**2, []),
    ],
)
def test_a_gradient_is_looked_at_in_backward(check, function, expected):
    x = torch.zeros((), requires_grad=True)
    assert messages(lambda: function(check(x * 1, "x")).backward()) == expected


def test_warnings_point_at_the_line_of_the_statement_also_for_gradients():
    x = torch.zeros((), requires_grad=True)
    with pytest.warns(PPLWarning) as warned:
        y = warn_if_nan(x * 1)
        (y.sqrt() * 0).backward()
        warn_if_nan(NAN)
        warn_if_nan(NAN, filename="model.py", lineno=7)
    line = test_warnings_point_at_the_line_of_the_statement_also_for_gradients.__code__
    line = line.co_firstlineno
    assert [(w.filename, w.lineno) for w in warned] == [
        (__file__, line + 3),
        (__file__, line + 5),
        ("model.py", 7),
    ]
