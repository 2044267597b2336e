"""Indexing that broadcasts, with loops as the oracle."""

from itertools import product

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops.indexing import Index, Vindex, index, vindex

X = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
COLUMN = torch.tensor([[1], [0], [1]])  # (3, 1)
ROW = torch.tensor([1, 0])  # (2,)
BATCHED = torch.tensor([[1], [0]])  # (2, 1)
ALL = slice(None)


def by_loops(x, args):
    """Entries by definition: integers broadcast and come first, slices and the rest follow."""
    args = args + (ALL,) * (x.dim() - len(args))
    integers = [torch.as_tensor(arg) for arg in args if not isinstance(arg, slice)]
    shape = torch.broadcast_shapes(*(i.shape for i in integers))
    integers = [i.expand(shape) for i in integers]
    result = []
    for place in product(*map(range, shape)):
        chosen = iter([int(i[place]) for i in integers])
        result.append(x[tuple(arg if isinstance(arg, slice) else next(chosen) for arg in args)])
    return torch.stack(result).reshape(*shape, *result[0].shape)


@pytest.mark.parametrize(
    "args",
    [
        (COLUMN, ROW),
        (ALL, COLUMN, ALL, ROW),
        (ALL, ROW),
        (0, COLUMN, 1),
        (COLUMN, ALL, 2, ROW),
        (1, ALL, 0),
        (torch.tensor(1), torch.tensor(2)),
        (ROW, COLUMN, ROW, COLUMN),
    ],
    ids=str,
)
def test_vindex_puts_broadcast_integers_before_slices(args):
    assert_close(vindex(X, args), by_loops(X, args))


@pytest.mark.parametrize("args", [(ROW[:1], ALL), (COLUMN,), (ALL, BATCHED), (0, BATCHED), (2,)])
def test_a_leading_ellipsis_is_a_batch_that_broadcasts_with_the_integers(args):
    batch = X.shape[: X.dim() - len(args)]
    grid = torch.meshgrid(*map(torch.arange, batch), indexing="ij")
    assert_close(Vindex(X)[(..., *args)], by_loops(X, (*grid, *args)))


def test_enumerated_indices_meet_a_batch_of_parameters():
    probs = torch.rand(7, 3, 5)  # a plate of 7, a table of 3 states and 5 outcomes
    state = torch.arange(3).reshape(3, 1)  # enumerated to the left of the plate
    assert_close(Vindex(probs)[..., state, :], probs.transpose(0, 1))


def test_vindex_records_and_runs_under_vmap():
    def entries(x, i):
        return Vindex(x)[..., i, :]

    scalar = torch.tensor(1)
    assert_close(make_fx(entries)(X, scalar)(X + 1, torch.tensor(2)), X[..., 2, :] + 1)
    indices = torch.tensor([2, 0])
    want = torch.stack([X[..., 2, :], X[..., 0, :]])
    assert_close(torch.func.vmap(entries, in_dims=(None, 0))(X, indices), want)


@pytest.mark.parametrize("args", [(slice(1, 2), ROW), (ROW, ...), (None, ROW), (0,) * 5])
def test_what_has_no_meaning_for_vindex_is_refused(args):
    with pytest.raises(ShapeError):
        vindex(X, args)


@pytest.mark.parametrize(
    "t, expected",
    [(1, X[..., 1]), (ALL, X), ((..., None), X.unsqueeze(-1)), (((..., 1),), X[..., 1])],
)
def test_index_flattens_arguments(t, expected):
    assert_close(Index(X)[..., t], expected)
    assert_close(index(X, (..., (t,))), expected)
