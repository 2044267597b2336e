"""Whether model and guide fit together, and sites their plates."""

import warnings
from contextlib import ExitStack

import pytest
import torch

import ppl.poutine as poutine
from ppl.errors import PPLWarning, ShapeError
from ppl.poutine.indep_messenger import CondIndepStackFrame
from ppl.primitives import plate, sample
from ppl.util import (
    check_if_enumerated,
    check_model_guide_match,
    check_site_shape,
    check_traceenum_requirements,
    check_traces_match,
)

from .distribution.families import Bernoulli, Normal


def trace_of(*sites):
    """Return the trace of sites (name, size of its plate, options of sample)."""

    def program():
        for name, size, options in sites:
            with ExitStack() as stack:
                if size:
                    stack.enter_context(plate(f"plate_of_{name}", size))
                sample(name, options.pop("fn", Normal(0.0, 1.0)), **options)

    return poutine.trace(program).get_trace()


def warned(check, *traces):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(*traces)
    assert all(issubclass(w.category, PPLWarning) for w in caught)
    return [str(w.message) for w in caught]


# model and guide


@pytest.mark.parametrize(
    "guide",
    [
        trace_of(("z", 3, {})),
        trace_of(("z", 3, {}), ("extra", 0, {"infer": {"is_auxiliary": True}})),
        trace_of(("z", 3, {}), ("k", 0, {"infer": {"enumerate": "parallel"}})),
    ],
    ids=["same", "auxiliary", "enumerated"],
)
def test_a_guide_that_fits_is_accepted(guide):
    model = trace_of(("z", 3, {}), ("x", 0, {"obs": 1.0}))
    assert warned(check_model_guide_match, model, guide) == []


def test_sites_of_one_program_alone_are_named():
    model = trace_of(("z", 0, {}), ("x", 0, {"obs": 1.0}))
    guide = trace_of(("x", 0, {}), ("y", 0, {}))
    x, y, z = warned(check_model_guide_match, model, guide)
    assert x.startswith("site 'x' of the guide is no latent site of the model: it is observed")
    assert y.startswith("site 'y' of the guide is no latent site of the model: it does not exist")
    assert z.startswith("site 'z' of the model is not in the guide: it is drawn from its prior")


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (Normal(torch.zeros(3), 1.0), "event_dim 1 in the model and 0 in the guide"),
        (Normal(torch.zeros(4, 3), 1.0).to_event(1), r"batch_shape \(2,\) .* \(4,\) .* at dim -1"),
        (Normal(torch.zeros(1, 3), 1.0).to_event(1), r"batch_shape \(2,\) .* \(1,\) .* at dim -1"),
        (Normal(torch.zeros(3), 1.0).to_event(1), r"batch_shape \(2,\) .* \(\) .* at dim -1"),
        (
            Normal(torch.zeros(4, 2, 3), 1.0).to_event(1),
            r"batch_shape .* \(4, 2\) .* dim -2",
        ),
        (Normal(torch.zeros(2, 2), 1.0).to_event(1), r"event_shape \(3,\) .* \(2,\) .* dim -1"),
        (Normal(torch.zeros(2, 1), 1.0).to_event(1), r"event_shape \(3,\) .* \(1,\) .* dim -1"),
    ],
)
def test_shapes_that_differ_are_refused(fn, message):
    model = trace_of(("z", 0, {"fn": Normal(torch.zeros(2, 3), 1.0).to_event(1)}))
    with pytest.raises(ShapeError, match=f"site 'z' has {message}"):
        check_model_guide_match(model, trace_of(("z", 0, {"fn": fn})))


@pytest.mark.parametrize("shape", [(2,), (1, 2), (5, 2)])
def test_shapes_may_differ_in_dimensions_of_enumeration(shape):
    model = trace_of(("z", 0, {"fn": Normal(torch.zeros(3, 2), 1.0)}))
    guide = trace_of(("z", 0, {"fn": Normal(torch.zeros(shape), 1.0)}))
    assert warned(check_model_guide_match, model, guide, 1) == []


def test_leading_dimensions_of_size_one_do_not_count():
    model = trace_of(("z", 0, {}))
    guide = trace_of(("z", 0, {"fn": Normal(torch.zeros(1, 1), 1.0)}))
    assert warned(check_model_guide_match, model, guide) == []


def test_a_plate_of_the_guide_alone_is_named():
    auxiliary = {"infer": {"is_auxiliary": True}}
    model, guide = trace_of(("z", 0, {})), trace_of(("z", 0, {}), ("y", 3, auxiliary))
    (message,) = warned(check_model_guide_match, model, guide)
    assert message.startswith("plates ['plate_of_y'] of the guide are not in the model")


def test_a_plate_of_another_size_is_refused():
    guide = trace_of(("x", 2, {"infer": {"is_auxiliary": True}}))
    guide.nodes["x"]["cond_indep_stack"] = trace_of(("z", 3, {})).nodes["z"]["cond_indep_stack"]
    with pytest.raises(ShapeError, match="plate 'plate_of_z' has size 2 in the model and 3 in"):
        check_model_guide_match(trace_of(("z", 2, {"obs": torch.zeros(2)})), guide)


# two runs


def test_two_equal_runs_match():
    assert warned(check_traces_match, trace_of(("z", 2, {})), trace_of(("z", 2, {}))) == []


def test_sites_of_one_run_alone_are_named():
    (message,) = warned(check_traces_match, trace_of(("z", 0, {})), trace_of(("y", 0, {})))
    assert "['z'] against ['y']" in message


@pytest.mark.parametrize("scored", [True, False])
def test_log_densities_of_other_shapes_are_refused(scored):
    traces = trace_of(("z", 2, {})), trace_of(("z", 3, {}))
    for trace in traces if scored else ():
        trace.compute_log_prob()
    with pytest.raises(ShapeError, match=r"site 'z' .* shape \(2,\) in one run and \(3,\)"):
        check_traces_match(*traces)


# a site and its plates


def site(shape, **sizes):
    frames = [CondIndepStackFrame(n, int(n[1:]) * -1, size, 0) for n, size in sizes.items()]
    return {"name": "x", "log_prob": torch.zeros(shape), "cond_indep_stack": tuple(frames)}


@pytest.mark.parametrize(
    ("given", "nesting"),
    [
        (site(()), 0),
        (site((3,), d1=3), 1),
        (site((2, 3), d1=3, d2=2), 2),
        (site((2, 1), d2=2), 2),
        (site((7, 3), d1=3), 1),
        (site((7, 1, 3), d1=3), 2),
        (site((3,), d1=-1), 1),
        (site((7,)), 0),
    ],
)
def test_batch_dimensions_with_plates_are_accepted(given, nesting):
    check_site_shape(given, nesting)


@pytest.mark.parametrize(
    ("given", "nesting", "message"),
    [
        (site((3,)), 1, r"shape \(3,\), but its plates give \(1,\)"),
        (site((3,), d1=4), 1, r"shape \(3,\), but its plates give \(4,\)"),
        (site((), d1=4), 1, r"shape \(\), but its plates give \(4,\)"),
        (site((2, 3), d1=3), 2, r"shape \(2, 3\), but its plates give \(1, 3\)"),
        (site((3,), d2=3), 2, r"shape \(3,\), but its plates give \(3, 1\)"),
        (site((3, 1), d2=3), 1, "plate at dim -2, but max_plate_nesting is 1"),
    ],
)
def test_batch_dimensions_without_their_plates_are_refused(given, nesting, message):
    with pytest.raises(ShapeError, match=f"site 'x'.*{message}"):
        check_site_shape(given, nesting)


# enumeration


def test_enumerated_sites_of_a_guide_are_named_by_losses_that_do_not_sum():
    assert warned(check_if_enumerated, trace_of(("z", 0, {}))) == []
    marked = trace_of(("z", 0, {}), ("k", 0, {"infer": {"enumerate": "parallel"}}))
    (message,) = warned(check_if_enumerated, marked)
    assert message.startswith("sites ['k'] of the guide are marked for enumeration")


def enumerated_in_a_plate(after):
    def program():
        rows = plate("rows", 2, dim=-1)
        with rows:
            sample("k", Bernoulli(torch.tensor(0.5)), infer={"enumerate": "parallel"})
        with rows if after == "inside" else plate("columns", 2, dim=-2):
            sample("same", Normal(0.0, 1.0))
        if after == "outside":
            sample("total", Normal(0.0, 1.0))

    return poutine.trace(program).get_trace()


@pytest.mark.parametrize("after", ["inside", "beside"])
def test_sites_in_the_plate_of_an_enumerated_site_or_beside_it_are_fine(after):
    trace = enumerated_in_a_plate(after)
    assert warned(check_traceenum_requirements, trace, trace) == []


def test_a_site_outside_of_the_plate_of_an_earlier_enumerated_site_is_named():
    in_model, in_guide = warned(
        check_traceenum_requirements,
        enumerated_in_a_plate("outside"),
        enumerated_in_a_plate("outside"),
    )
    assert in_model.startswith("site 'total' of the model comes after the enumerated site 'k'")
    assert "'rows'" in in_model
    assert in_guide.startswith("site 'total' of the guide")
