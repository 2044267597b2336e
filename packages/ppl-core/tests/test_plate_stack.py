"""``plate_stack`` is its plates, one inside the other."""

import pytest
import torch

import ppl.poutine as poutine
from ppl.errors import PlateError
from ppl.plates import plate_stack
from ppl.primitives import plate, sample

from .distribution.families import Normal


def frames(context):
    def program():
        with context:
            sample("x", Normal(0.0, 1.0))

    site = poutine.trace(program).get_trace().nodes["x"]
    return site["cond_indep_stack"], site["value"].shape


def test_a_stack_is_plates_from_the_right():
    found, shape = frames(plate_stack("grid", (4, 3, 2)))
    assert shape == (4, 3, 2)
    assert [(f.name, f.dim, f.size) for f in found] == [
        ("grid_0", -1, 2),
        ("grid_1", -2, 3),
        ("grid_2", -3, 4),
    ]


def test_a_stack_may_start_further_left():
    with plate("rows", 5, dim=-1):
        _, shape = frames(plate_stack("grid", [3, 2], rightmost_dim=-2))
    assert shape == (3, 2, 5)


def test_an_empty_stack_is_no_plate():
    assert frames(plate_stack("grid", ())) == ((), ())


def test_a_stack_is_closed_after_an_error():
    with pytest.raises(KeyError), plate_stack("grid", (2, 3)):
        raise KeyError
    assert sample("x", Normal(0.0, 1.0)).shape == ()


def test_the_dimension_must_be_negative():
    with pytest.raises(PlateError, match="plate_stack 'grid': rightmost_dim must be negative"):
        plate_stack("grid", (2,), rightmost_dim=0).__enter__()


def test_a_taken_dimension_is_refused_as_in_a_plate():
    with plate("rows", 5, dim=-2), pytest.raises(PlateError, match="taken by the enclosing"):
        plate_stack("grid", (2, 3)).__enter__()


def test_a_refused_stack_leaves_no_plate_open():
    with plate("rows", 5, dim=-2):
        with pytest.raises(PlateError):
            plate_stack("grid", (2, 3)).__enter__()
        assert sample("x", Normal(torch.zeros(()), 1.0)).shape == (5, 1)
