"""Plates: dimensions, sizes, subsamples, and what they mean for the density."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.engine import CaptureError, record
from ppl.errors import PlateError, ShapeError
from ppl.plates import plate_stack
from ppl.poutine.indep_messenger import IndepMessenger
from ppl.poutine.plate_messenger import block_plate
from ppl.poutine.runtime import get_plates, stack
from ppl.poutine.util import prune_subsample_sites, site_is_subsample
from ppl.primitives import factor, get_param_store, param, plate, sample, subsample

from .distribution.families import Bernoulli, Dirichlet, Normal

DATA = torch.tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64)


def zero():
    return Normal(torch.zeros((), dtype=torch.float64), 1.0)


def log_density(program, *args):
    return poutine.trace(program).get_trace(*args).log_prob_sum()


# dimensions


def test_dimensions_are_allocated_from_right_to_left():
    with plate("a", 2) as a, plate("b", 3), plate("c", 4) as c:
        assert sample("x", zero()).shape == (4, 3, 2)
        assert (a.tolist(), c.tolist()) == ([0, 1], [0, 1, 2, 3])


def test_allocation_skips_dimensions_that_are_taken():
    with plate("a", 2, dim=-2), plate("b", 3), plate("c", 4):
        assert [frame.dim for frame in get_plates()] == [-2, -1, -3]
        assert sample("x", zero()).shape == (4, 2, 3)


def test_a_plate_gives_its_dimension_back():
    rows, columns = plate("rows", 2), plate("columns", 3)
    with rows, columns:
        assert sample("x", zero()).shape == (3, 2)
    with columns, rows:
        assert sample("x", zero()).shape == (2, 3)
    with columns:
        assert sample("x", zero()).shape == (3,)


def test_an_explicit_dimension_is_kept():
    rows = plate("rows", 2, dim=-3)
    for _ in range(2):
        with rows:
            assert sample("x", zero()).shape == (2, 1, 1)
    assert rows.dim == -3


def test_two_plates_cannot_share_a_dimension():
    with (
        pytest.raises(PlateError, match="plate 'b': dim -1 is taken by the enclosing plate 'a'"),
        plate("a", 2),
        plate("b", 3, dim=-1),
    ):
        pass
    assert stack() == ()


@pytest.mark.parametrize("dim", [0, 1])
def test_dimensions_are_counted_from_the_right(dim):
    with pytest.raises(PlateError, match=f"plate 'a': dim must be negative .*got {dim}"):
        plate("a", 2, dim=dim)


@pytest.mark.parametrize("kind", [plate, IndepMessenger])
@pytest.mark.parametrize("size", [-3, 2.5, "three", [1, 2]])
def test_a_plate_has_a_number_of_elements(kind, size):
    with pytest.raises(PlateError, match="plate 'a': size must be the number of its elements"):
        kind("a", size)


@pytest.mark.parametrize("size", [-1, torch.tensor(-1)])
def test_a_negative_size_of_a_plate_is_no_secret_sign(size):
    with pytest.raises(PlateError, match="plate 'a': size must be"):
        plate("a", size)


@pytest.mark.parametrize("kind", [plate, IndepMessenger])
@pytest.mark.parametrize("size", [3.0, torch.tensor(3), torch.tensor(3.0), np.int64(3)])
def test_a_whole_number_of_any_type_is_a_size(kind, size):
    assert kind("a", size).size == 3 and type(kind("a", size).size) is int


# A group without rows is data, too: that an empty plate is one was the law that was missing.


def score(program):
    trace = poutine.trace(program).get_trace()
    trace.compute_score_parts()
    return trace.log_prob_sum()


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: d.mask(True), lambda d: d.expand([1])])
def test_an_empty_plate_scores_zero(wrap):
    def program():
        with plate("outer", 2, dim=-2), plate("empty", 0) as index:
            assert index.shape == (0,)
            assert sample("x", wrap(Normal(0.0, 1.0))).shape == (2, 0)
            sample("e", wrap(Normal(torch.zeros(3), 1.0).to_event(1)).mask(torch.tensor([True])))
            sample("y", Normal(0.0, 1.0), obs=torch.zeros(2, 0))
            factor("f", torch.zeros(2, 0))

    assert score(program) == 0.0


def test_an_empty_plate_has_no_iterations_and_no_subsample():
    assert list(plate("empty", 0)) == []
    with plate("empty", 0, subsample_size=5) as index:
        assert index.shape == (0,)
    with plate("empty", 0, subsample=torch.tensor([], dtype=torch.long)) as index:
        assert index.shape == (0,)
    with plate_stack("grid", (0, 3)):
        assert sample("x", Normal(0.0, 1.0)).shape == (0, 3)


@pytest.mark.parametrize("part", [{"subsample_size": 0}, {"subsample": torch.tensor([]).long()}])
def test_no_element_of_several_is_no_subsample(part):
    with pytest.raises(PlateError, match="plate 'a': a subsample of none of its 3 elements"):
        plate("a", 3, **part)


def test_an_empty_plate_is_packed_beside_an_enumerated_site():
    def program():
        z = sample("z", Bernoulli(torch.tensor(0.5)), infer={"enumerate": "parallel"})
        with plate("empty", 0):
            sample("x", Normal(z, 1.0), obs=torch.zeros(0))

    trace = poutine.trace(poutine.enum(program, first_available_dim=-2)).get_trace()
    trace.compute_log_prob()
    trace.pack_tensors()
    assert trace.nodes["x"]["packed"]["log_prob"].shape == (2, 0)


def test_entering_a_plate_twice_is_refused_and_leaves_no_dimension_behind():
    rows = plate("rows", 2)
    for _ in rows:
        with pytest.raises(ValueError, match="already active"), rows:
            pass
        assert rows.dim is None
    with rows, pytest.raises(PlateError, match="dim -1 is taken"), plate("other", 3, dim=-1):
        pass
    assert rows.dim is None


def test_a_wrong_size_names_the_site_the_plate_and_both_shapes():
    with (
        pytest.raises(
            ShapeError, match=r"site 'x'.*batch_shape \(4,\), but plate 'a' needs size 3"
        ),
        plate("a", 3),
    ):
        sample("x", Normal(torch.zeros(4), 1.0))


def test_sizes_of_one_and_dimensions_left_of_the_plates_are_kept():
    with plate("a", 3):
        assert sample("x", Normal(torch.zeros(5, 1), 1.0)).shape == (5, 3)


def test_event_dimensions_are_not_counted():
    with plate("a", 3):
        assert sample("x", Dirichlet(torch.ones(4))).shape == (3, 4)
        assert sample("y", Normal(torch.zeros(4), 1.0).to_event(1)).shape == (3, 4)


def test_a_plate_decorates_a_program():
    @plate("rows", 3)
    def program():
        return sample("x", zero())

    assert program().shape == (3,)
    assert program().shape == (3,)


def test_a_plate_of_unknown_size_declares_independence_only():
    with poutine.trace() as traced, plate("rows"):
        assert sample("x", Normal(torch.zeros(3), 1.0)).shape == (3,)
        assert param("w", torch.ones(5), event_dim=0).shape == (5,)
    [frame] = traced.trace.nodes["x"]["cond_indep_stack"]
    assert (frame.name, frame.dim) == ("rows", -1)
    assert traced.trace.nodes["x"]["scale"] == 1.0


def test_draws_in_a_plate_are_independent():
    with plate("rows", 3):
        assert len(set(sample("x", zero()).tolist())) == 3


# sequential plates


def sequential(data):
    for i in plate("rows", len(data)):
        sample(f"x{i}", zero(), obs=data[i])


def vectorized(data):
    with plate("rows", len(data)):
        sample("x", zero(), obs=data)


def test_sequential_and_vectorized_plates_have_the_same_density():
    assert_close(log_density(sequential, DATA), log_density(vectorized, DATA))


def test_a_density_with_a_sequential_plate_is_recorded():
    def density(data):
        return log_density(sequential, data)

    assert_close(record(density, DATA)(2 * DATA), density(2 * DATA))


@pytest.mark.parametrize("subsample", [None, torch.tensor([0, 2])])
def test_indices_that_may_change_are_not_recorded(subsample):
    """Drawn ones do from run to run, and given ones may be an argument."""

    def total(data):
        rows = plate("rows", 4, None if subsample is not None else 2, subsample=subsample)
        return sum(data[i] for i in rows)

    with pytest.raises(CaptureError):
        record(total, DATA)


def test_nested_plates_have_the_same_density_whichever_are_sequential():
    data = DATA.reshape(2, 2)

    def mixed():
        with plate("columns", 2, dim=-1):
            for i in plate("rows", 2):
                sample(f"x{i}", zero(), obs=data[i])

    def nested():
        with plate("columns", 2), plate("rows", 2):
            sample("x", zero(), obs=data)

    assert_close(log_density(mixed), log_density(nested))


def test_independence_without_subsamples_loops_and_vectorizes_alike():
    assert list(IndepMessenger("rows", 3)) == [0, 1, 2]
    rows = IndepMessenger("rows", 3)
    assert rows.indices.tolist() == [0, 1, 2]
    with rows:
        assert [(frame.dim, frame.size) for frame in get_plates()] == [(-1, 3)]


def test_iterations_of_a_sequential_plate_are_told_apart_by_a_counter():
    trace = poutine.trace(sequential).get_trace(DATA)
    frames = [trace.nodes[f"x{i}"]["cond_indep_stack"][0] for i in range(4)]
    assert [frame.counter for frame in frames] == [1, 2, 3, 4]
    assert not any(frame.vectorized for frame in frames)


def test_a_sequential_plate_has_no_dimension():
    with pytest.raises(PlateError, match="plate 'rows' is sequential in a for loop.*got dim -2"):
        next(iter(plate("rows", 3, dim=-2)))


def test_the_body_of_a_sequential_plate_keeps_its_batch_shape():
    for _ in plate("rows", 3):
        assert sample("x", zero()).shape == ()
        with plate("columns", 2):
            assert [frame.dim for frame in get_plates()] == [None, -1]


def leave_by_break():
    for _ in plate("outer", 3):
        for _ in plate("inner", 3):
            break
        assert len(stack()) == 1


def leave_by_return():
    for i in plate("rows", 3):
        return i


def leave_by_exception():
    def failing():
        for _ in plate("rows", 3):
            raise KeyError

    with pytest.raises(KeyError):
        failing()


def leave_a_generator_half_way():
    loop = iter(plate("rows", 3))
    next(loop)
    assert len(stack()) == 1
    loop.close()


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_by_return, leave_by_exception, leave_a_generator_half_way]
)
def test_however_a_sequential_plate_is_left_the_stack_is_clean(leave):
    leave()
    assert stack() == ()


def test_a_sequential_plate_can_be_iterated_again():
    rows = plate("rows", 3)
    assert list(rows) == list(rows) == [0, 1, 2]


# subsamples


def subsampled(data, indices, name="rows"):
    with plate(name, len(data), subsample=indices) as chosen:
        sample("x", zero(), obs=data[chosen])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_subsampled_density_is_unbiased(size):
    subsets = [torch.tensor(chosen) for chosen in combinations(range(4), size)]
    estimates = torch.stack([log_density(subsampled, DATA, subset) for subset in subsets])
    assert_close(estimates.mean(), log_density(vectorized, DATA))


def test_the_density_of_nested_subsampled_plates_is_unbiased():
    data = torch.arange(12.0, dtype=torch.float64).reshape(4, 3) / 10

    def program(rows, columns):
        with plate("columns", 3, subsample=columns), plate("rows", 4, subsample=rows):
            sample("x", zero(), obs=data[rows][:, columns])

    estimates = [
        log_density(program, torch.tensor(rows), torch.tensor(columns))
        for rows in combinations(range(4), 2)
        for columns in combinations(range(3), 2)
    ]
    everything = log_density(program, torch.arange(4), torch.arange(3))
    assert_close(torch.stack(estimates).mean(), everything)


def test_scales_of_nested_subsampled_plates_and_handlers_multiply():
    with (
        poutine.trace() as traced,
        poutine.scale(scale=5.0),
        plate("rows", 8, 4),
        plate("columns", 9, 3),
    ):
        sample("x", zero())
    assert traced.trace.nodes["x"]["scale"] == 5.0 * 2.0 * 3.0


def test_a_sequential_subsample_has_the_density_of_the_vectorized_one():
    chosen = torch.tensor([3, 1])

    def loop(data, indices):
        for i in plate("rows", 4, subsample=indices):
            sample(f"x{i}", zero(), obs=data[i])

    assert_close(log_density(loop, DATA, chosen), log_density(subsampled, DATA, chosen))


def test_subsamples_are_drawn_without_replacement_from_all_elements():
    draws = [plate("rows", 5, subsample_size=3).indices.tolist() for _ in range(200)]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert {index for draw in draws for index in draw} == set(range(5))


def test_all_elements_are_used_in_order_by_default_and_when_too_many_are_asked_for():
    assert plate("rows", 3).indices.tolist() == [0, 1, 2]
    assert plate("rows", 3, subsample_size=7).indices.tolist() == [0, 1, 2]
    with plate("rows", 3, subsample_size=7), poutine.trace() as traced:
        sample("x", zero())
    assert traced.trace.nodes["x"]["scale"] == 1.0


def draw_a_subsample(size=2):
    with plate("rows", 4, subsample_size=size) as chosen:
        sample("x", zero(), obs=DATA[chosen])
        return chosen


def test_a_subsample_is_recorded_and_replayed():
    trace = poutine.trace(draw_a_subsample).get_trace()
    assert site_is_subsample(trace.nodes["rows"])
    for _ in range(5):
        assert_close(poutine.replay(draw_a_subsample, trace=trace)(), trace.nodes["rows"]["value"])


def test_a_subsample_adds_nothing_to_the_density():
    trace = poutine.trace(draw_a_subsample).get_trace()
    pruned = prune_subsample_sites(trace)
    assert list(pruned.nodes) == ["_INPUT", "x", "_RETURN"]
    assert_close(trace.log_prob_sum(), pruned.log_prob_sum())


def given_rows(indices):
    with plate("rows", 4, subsample=indices) as chosen:
        return chosen


@pytest.mark.parametrize("given", [torch.tensor([3, 1]), [3, 1]], ids=["tensor", "list"])
def test_a_given_subsample_is_recorded_and_replayed(given):
    trace = poutine.trace(given_rows).get_trace(given)
    assert list(trace.nodes["rows"]["value"]) == [3, 1]
    assert trace.log_prob_sum() == 0.0
    for program, argument in [(draw_a_subsample, 2), (given_rows, torch.tensor([0, 2]))]:
        assert list(poutine.replay(program, trace=trace)(argument)) == [3, 1]


def test_a_given_subsample_of_another_size_than_the_replayed_one_is_refused():
    trace = poutine.trace(given_rows).get_trace([3, 1])
    with pytest.raises(PlateError, match="asks for subsample_size=3, but .* has 2"):
        poutine.replay(given_rows, trace=trace)([0, 1, 2])


def test_a_subsample_of_another_size_is_replayed_with_its_own_scale():
    trace = poutine.trace(draw_a_subsample).get_trace(2)
    replayed = poutine.trace(poutine.replay(draw_a_subsample, trace=trace)).get_trace(None)
    assert_close(replayed.log_prob_sum(), trace.log_prob_sum())


def test_a_subsample_of_another_size_than_the_program_asks_for_is_not_replayed():
    trace = poutine.trace(draw_a_subsample).get_trace(2)
    with pytest.raises(PlateError, match="asks for subsample_size=3, but the trace .* has 2"):
        poutine.replay(draw_a_subsample, trace=trace)(3)


def test_a_plate_made_before_the_program_keeps_its_subsample():
    rows = plate("rows", 10, subsample_size=4)
    with rows as first:
        pass
    with rows as second:
        assert_close(second, first)


def test_a_given_subsample_must_have_the_size_that_is_asked_for():
    with pytest.raises(PlateError, match="subsample has length 2, but subsample_size is 3"):
        plate("rows", 4, subsample=torch.tensor([0, 1]), subsample_size=3)


@pytest.mark.parametrize("kwargs", [{"subsample_size": 2}, {"subsample": torch.tensor([0])}])
def test_subsampling_needs_the_size_of_the_whole_plate(kwargs):
    with pytest.raises(PlateError, match="needs the size of the whole plate"):
        plate("rows", None, **kwargs)


# what is subsampled


@pytest.mark.parametrize("event_dim", [0, 1, 2])
def test_subsample_takes_the_chosen_elements_left_of_the_event(event_dim):
    data = torch.randn(4, 3, 2)[(...,) + (0,) * (2 - event_dim)]
    chosen = torch.tensor([2, 0])
    with plate("rows", 4, subsample=chosen):
        assert_close(subsample(data, event_dim=event_dim), data[chosen])


def test_subsample_takes_the_chosen_elements_of_every_plate():
    data, rows, columns = torch.randn(4, 3), torch.tensor([2, 0]), torch.tensor([1, 2])
    with plate("columns", 3, subsample=columns), plate("rows", 4, subsample=rows):
        assert_close(subsample(data, event_dim=0), data[rows][:, columns])
        assert_close(subsample(data[:, :1], event_dim=0), data[rows][:, :1])
        assert_close(subsample(data[0], event_dim=0), data[0, columns])


@pytest.mark.parametrize("event_dim", [0, 1])
def test_a_parameter_in_a_plate_is_stored_whole_and_read_in_part(event_dim):
    initial = torch.rand((4,) + (3,) * event_dim) + 0.5
    chosen = torch.tensor([3, 1])
    with plate("rows", 4, subsample=chosen):
        value = param("w", initial, constraints.positive, event_dim=event_dim)
    assert_close(value, initial[chosen])
    assert_close(get_param_store()["w"], initial)
    value.sum().backward()
    leaf = get_param_store()["w"].unconstrained()
    assert value.unconstrained() is leaf
    touched = leaf.grad.reshape(4, -1).abs().sum(-1) > 0
    assert touched.tolist() == [False, True, False, True]


def test_a_parameter_without_event_dim_is_left_whole():
    with plate("rows", 4, subsample_size=2):
        assert param("w", torch.ones(7)).shape == (7,)


@pytest.mark.parametrize("statement", ["param", "subsample"])
def test_a_wrong_size_to_subsample_is_refused(statement):
    def read():
        if statement == "param":
            return param("w", torch.ones(5), event_dim=0)
        return subsample(torch.ones(5), event_dim=0)

    expected = rf"{statement} .*shape \(5,\) with event_dim=0, but plate 'rows' needs size 4"
    with plate("rows", 4, subsample_size=2), pytest.raises(PlateError, match=expected):
        read()


@pytest.mark.parametrize("event_dim", [-1, 2])
def test_subsample_needs_a_sensible_event_dim(event_dim):
    with pytest.raises(ShapeError, match=f"has no event_dim={event_dim}"):
        subsample(torch.ones(3), event_dim=event_dim)


# labels


def program_with_labels(labels):
    with plate("letters", 3, coords=labels):
        sample("x", zero())


@pytest.mark.parametrize("labels", [["a", "b", "c"], range(3), np.arange(3), torch.arange(3)])
def test_the_trace_of_a_program_has_the_labels_of_its_plates(labels):
    trace = poutine.trace(program_with_labels).get_trace(labels)
    expected = labels if isinstance(labels, list) else [0, 1, 2]
    assert trace.nodes["letters"]["fn"].coords == expected


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "a"], "abc", 3])
def test_labels_that_do_not_tell_the_elements_apart_are_refused(labels):
    with pytest.raises(ValueError, match="letters"):
        program_with_labels(labels)


def test_labels_need_the_size_of_the_plate():
    with pytest.raises(PlateError, match="need the size"):
        plate("letters", coords=["a", "b"])


# block_plate


@pytest.mark.parametrize("kwargs", [{"name": "rows"}, {"dim": -1}])
def test_block_plate_takes_one_plate_out_of_effect(kwargs):
    with plate("rows", 3), plate("columns", 2):
        with block_plate(**kwargs):
            assert sample("x", zero()).shape == (2, 1)
        assert sample("x", zero()).shape == (2, 3)


@pytest.mark.parametrize("kwargs", [{}, {"name": "rows", "dim": -1}])
def test_block_plate_needs_a_name_or_a_dim(kwargs):
    with pytest.raises(PlateError, match="either name or dim"), block_plate(**kwargs):
        pass


def test_block_plate_is_strict_unless_told_otherwise():
    with pytest.raises(PlateError, match="matches 0 enclosing plates"), block_plate("rows"):
        pass
    with block_plate("rows", strict=False):
        assert stack() == ()
