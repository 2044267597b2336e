"""What depends on values is refused, never recorded as it happened to be; nothing is spoilt."""

import copy
import dataclasses
import pickle
import types

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.testing import assert_close

import ppl.ops.jit as jit
from ppl.engine import CaptureError, record
from ppl.validation import unchecked, validation_enabled

from .distribution.families import Gamma, Normal

MASK = torch.tensor([True, False, True])
DATA = torch.arange(3.0)
TABLE = torch.arange(12.0).reshape(3, 4)
BUFFER = torch.zeros(3)
NORM = torch.nn.BatchNorm1d(3)
X = torch.tensor([1.0, -2.0, 3.0])

SHAPES = {
    "boolean index": lambda x: x[x > 0].sum() / x[x > 0].shape[0],
    "an unused shape": lambda x: x.sum() / (x > 0).nonzero().shape[0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "repeat_interleave": lambda x: DATA.repeat_interleave(x.abs().long()),
    "bincount": lambda x: x.abs().long().bincount(),
    "where": lambda x: torch.where(x > 0)[0],
    "a drawn mask": lambda x: x[torch.rand(3) > 0.5],
    "sparse": lambda x: x.to_sparse().sum(),
}
EXITS = {
    "numpy": lambda x: x * float(x.detach().numpy()[0]),
    "asarray": lambda x: torch.as_tensor(np.exp(np.asarray(x))),
    "tolist": lambda x: x * x.tolist()[0],
    "item": lambda x: x * x[0].item(),
    "float": lambda x: x * float(x[0]),
    "branch": lambda x: x if x.sum() > 0 else -x,
    "equal": lambda x: x if torch.equal(x, DATA) else -x,
    "in": lambda x: x if 1.0 in x else -x,
}
CONSTANT = {
    "mask": lambda x: x[MASK].sum() / x[MASK].shape[0],
    "nonzero": lambda x: x[MASK.nonzero()[:, 0]],
    "masked_select": lambda x: x.masked_select(DATA > 1),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.tensor([1, 2, 0])),
    "numpy": lambda x: x * torch.as_tensor(np.exp(DATA.numpy())),
}
WRITES = {
    "argument": lambda x: x.add_(1),
    "row": lambda x: x[0].fill_(1),
    "data": lambda x: x.data.add_(1),
    "buffer": lambda x: BUFFER.add_(x),
    "out": lambda x: torch.add(x, 1, out=BUFFER),
    "module": lambda x: NORM(x.expand(4, 3)),
    "statistics": lambda x: torch.nn.functional.batch_norm(
        x.expand(4, 3), NORM.running_mean, NORM.running_var, training=True
    ),
}


@pytest.mark.parametrize("fn", [*SHAPES.values(), *EXITS.values()], ids=[*SHAPES, *EXITS])
def test_what_depends_on_the_values_of_arguments_is_refused_with_the_line(fn):
    with pytest.raises(CaptureError, match=f"{__file__}:{fn.__code__.co_firstlineno}"):
        record(fn, X)


@pytest.mark.parametrize("fn", CONSTANT.values(), ids=CONSTANT)
def test_what_depends_on_the_values_of_constants_is_recorded(fn):
    assert_close(record(fn, X)(-2 * X), fn(-2 * X))


@pytest.mark.parametrize("fn", WRITES.values(), ids=WRITES)
def test_a_write_into_a_tensor_from_outside_is_refused_before_it_happens(fn):
    x, state = X.clone(), [BUFFER.clone(), *(b.clone() for b in NORM.buffers())]
    with pytest.raises(CaptureError, match="in place"):
        record(fn, x)
    assert_close([x, BUFFER, *NORM.buffers()], [X, *state])


INDICES = {
    "row": lambda k: TABLE[k],
    "column": lambda k: TABLE[:, k],
    "last": lambda k: TABLE[..., k],
    "with a number": lambda k: TABLE[k, 1],
    "with a new dimension": lambda k: TABLE[None, k, ..., -1],
    "with a list": lambda k: TABLE[k, [0, 2]],
    "twice": lambda k: TABLE[k, k],
    "after a mask": lambda k: TABLE[TABLE > 2][k],
}


@pytest.mark.parametrize("fn", INDICES.values(), ids=INDICES)
def test_a_number_in_a_tensor_is_an_index_like_any_other(fn):
    values = [0, 2, -1]
    expected = [fn(torch.tensor(k)) for k in values]
    one, many = record(fn, torch.tensor(1)), record(vmap(fn), torch.tensor([1, 0, 1]))
    assert_close([one(torch.tensor(k)) for k in values], expected)
    assert_close(many(torch.tensor(values)), torch.stack(expected))


def test_an_index_beyond_the_end_stays_an_error():
    with pytest.raises(IndexError):
        record(INDICES["row"], torch.tensor(1))(torch.tensor(7))


# distributions that check


def test_nothing_checks_while_it_is_recorded_whatever_it_was_told_when_it_was_made():
    with validation_enabled(True):
        outside = Normal(0.0, 1.0)
        assert outside._validate_args

        def density(x):
            inside = Gamma(x.exp(), 1.0, validate_args=True)
            return outside.log_prob(x) + inside.log_prob(x.exp())

        assert_close(record(density, X)(-X), density(-X))
        with unchecked():
            assert outside.log_prob(torch.tensor(float("nan"))).isnan()
        with pytest.raises(ValueError, match="nan"):
            outside.log_prob(torch.tensor(float("nan")))


# the function keeps its promises when it is replayed


def test_second_derivatives_are_those_of_the_function_at_each_call():
    traced = jit.trace(lambda x: (x**3).sum())
    for _ in range(4):
        x = torch.tensor(2.0, requires_grad=True)
        y = traced(x)
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (y + slope).backward()
        assert x.grad.item() == 24.0


def test_the_second_derivative_of_a_replay_that_draws_is_an_error():
    traced = jit.trace(lambda x: (x**3 * torch.rand(1)).sum())
    x = torch.tensor(2.0, requires_grad=True)
    for _ in range(2):
        traced(x)
    (slope,) = torch.autograd.grad(traced(x), x, create_graph=True)
    with pytest.raises(CaptureError, match="differentiated once"):
        slope.backward()


@pytest.mark.parametrize("make", [jit.trace, jit.compile])
def test_lazily_negated_and_conjugated_arguments_mean_what_they_mean(make):
    z = torch.tensor([1 + 2j, 3 - 1j])
    fn = make(lambda x: 2 * x, ignore_warnings=True)
    for x in 3 * [z.imag.clone(), z.conj().imag]:
        assert_close(fn(x), 2 * x)


def test_a_module_that_counts_counts_each_call_once():
    norm = torch.nn.BatchNorm1d(3)
    traced = jit.trace(norm, ignore_warnings=True)
    for _ in range(5):
        traced(torch.randn(4, 3))
    assert norm.num_batches_tracked.item() == 5


SCALE = 2.0


class Scaled:
    scale = 1.0

    def __call__(self, x):
        return self.scale * x

    def by_method(self, x):
        return SCALES[0]["a"] * x


def replaced(monkeypatch):
    """Yield functions, and changes of what they read, that a replay has to see."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Threshold(0.0, 0.0), Halved())
    scaled = Scaled()
    scaled.scale = 2.0
    return [
        (net, net.eval),
        (net, net.train),
        (lambda x: net(x), net.eval),
        (net, lambda: setattr(net[0], "weight", torch.nn.Parameter(torch.ones(3, 3)))),
        (net, lambda: net.__setitem__(1, torch.nn.Tanh())),
        (lambda x: SCALE * x, lambda: monkeypatch.setitem(globals(), "SCALE", 3.0)),
        (scaled, lambda: setattr(scaled, "scale", 3.0)),
        (scaled.__call__, lambda: setattr(scaled, "scale", 4.0)),
        (net, lambda: setattr(net[1], "threshold", 1.0)),
        (net, lambda: net[2].register_forward_hook(lambda module, inputs, result: 2 * result)),
        (net, lambda: setattr(net[2], "factor", 0.25)),
        (lambda x: Scaled.scale * x, lambda: monkeypatch.setattr(Scaled, "scale", 3.0)),
        (lambda x: CONFIG.scale * x, lambda: monkeypatch.setattr(CONFIG, "scale", 3.0)),
        (lambda x: SCALES[0]["a"] * x, lambda: monkeypatch.setitem(SCALES[0], "a", 3.0)),
        (lambda x: SCALES[1](x), lambda: SCALES.__setitem__(1, torch.exp)),
        (lambda x: scaled.by_method(x), lambda: monkeypatch.setitem(SCALES[0], "a", 5.0)),
        (times, lambda: setattr(times, "__defaults__", (3.0,))),
        (lambda x: later(x), lambda: monkeypatch.setitem(globals(), "later", torch.exp)),
    ]


SCALES = [{"a": 2.0}, torch.sin]
CONFIG = types.ModuleType("config")
CONFIG.scale = 2.0
later = torch.sin


def times(x, scale=2.0):
    return scale * x


class Halved(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = 0.5

    def forward(self, x):
        return self.factor * x if self.training else x


@pytest.mark.parametrize("number", range(18))
def test_what_is_replaced_around_a_function_is_seen(number, monkeypatch):
    fn, change = replaced(monkeypatch)[number]
    traced = jit.trace(fn)
    for _ in range(3):
        assert_close(traced(X), fn(X))
    change()
    for _ in range(3):
        assert_close(traced(X), fn(X))


def test_the_parts_of_a_module_that_is_an_argument_are_seen():
    traced, net = jit.trace(lambda net, x: net(x)), torch.nn.Linear(3, 3)
    for value in (1.0, 1.0, 1.0, 2.0):
        net.weight = torch.nn.Parameter(torch.full((3, 3), value))
        assert_close(traced(net, X), net(X))


def test_the_sign_of_zero_is_part_of_an_option():
    traced = jit.trace(lambda x, zero: torch.copysign(x, torch.tensor(zero)))
    results = [traced(torch.ones(()), zero).item() for zero in (0.0, 0.0, 0.0, -0.0)]
    assert results == [1.0, 1.0, 1.0, -1.0]


@dataclasses.dataclass(frozen=True)
class Options:
    scale: object


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Options(0.0), Options(-0.0)),
        (Options(2), Options(2.0)),
        (frozenset([2]), frozenset([2.0])),
        (slice(0, 1), slice(0, 2)),
    ],
    ids=str,
)
def test_options_that_compare_equal_but_are_not_the_same_are_told_apart(one, other):
    def fn(x, option):
        if isinstance(option, slice):
            return x[option]
        (number,) = option if isinstance(option, frozenset) else (option.scale,)
        return torch.copysign(x, torch.tensor(float(number))), torch.tensor(number)

    traced = jit.trace(fn)
    for option in (one, one, one, other, one):
        assert_close(traced(X, option), fn(X, option))


def test_an_attribute_of_an_option_may_change():
    traced, option = jit.trace(lambda x, option: option(x)), Scaled()
    for scale in (2.0, 2.0, 2.0, 3.0):
        option.scale = scale
        assert_close(traced(X, option), scale * X)


@pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor, DATA.new_tensor])
def test_a_tensor_of_a_list_of_tensors_is_refused_also_while_the_arguments_stay(make):
    fn = lambda x: make([x[0], 1.0]).sum()  # noqa: E731
    traced = jit.trace(fn, ignore_warnings=True)
    for x in (X, X, 2 * X):
        assert_close(traced(x), fn(x))
    with pytest.raises(CaptureError, match=r"write torch\.stack"):
        record(fn, X)


def test_autocast_is_recorded_by_itself():
    traced, x = jit.trace(torch.mm), torch.eye(2)
    for _ in range(3):
        traced(x, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert [traced(x, x).dtype for _ in range(3)] == [torch.bfloat16] * 3
    assert traced(x, x).dtype == torch.float32


@jit.trace
def decorated(x):
    return 2 * x


@pytest.mark.parametrize("fn", [decorated, jit.trace(torch.sin)], ids=["decorated", "wrapped"])
def test_a_recorded_function_can_be_copied_and_pickled(fn):
    for _ in range(3):
        fn(X)
    for other in (copy.deepcopy(fn), pickle.loads(pickle.dumps(fn))):
        assert_close(other(X), fn(X))
