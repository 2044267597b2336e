"""Arithmetic of tensors whose dimensions have names."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops import packed
from ppl.ops.packed import broadcast_all, dims_of, gather, pack, rename_equation, with_dims

X = pack(torch.arange(6.0).reshape(3, 1, 2), {-1: "a", -3: "c"})  # ca
Y = pack(torch.arange(8.0).reshape(4, 2), {-1: "a", -2: "b"})  # ba


@pytest.mark.parametrize("dims", ["abc", "bca"])
def test_broadcast_all_gives_the_same_dimensions_in_the_order_asked_for(dims):
    kwargs = {} if dims == "abc" else {"dims": dims}
    x, y = broadcast_all(X, Y, **kwargs)
    assert dims_of(x) == dims_of(y) == dims
    assert_close(x, torch.einsum(f"ca,b->{dims}", X, torch.ones(4)))
    assert_close(y, torch.einsum(f"ba,c->{dims}", Y, torch.ones(3)))


def test_products_meet_by_symbol():
    product = packed.mul(X, Y)
    assert_close(product, torch.einsum(f"ca,ba->{dims_of(product)}", X, Y))
    assert dims_of(packed.mul(X, 2.0)) == dims_of(packed.mul(2.0, X)) == "ca"
    assert packed.mul(2.0, 3.0) == 6.0


def test_signs_and_exponentials_keep_the_dimensions():
    assert_close(packed.neg(X), -X)
    assert_close(packed.exp(X), X.exp())
    assert dims_of(packed.neg(X)) == dims_of(packed.exp(X)) == "ca"
    assert packed.neg(2.0) == -2.0
    assert packed.exp(0.5) == math.exp(0.5)


@pytest.mark.parametrize("dims", ["c", "d", "cd", ""])
def test_gather_chooses_along_a_dimension(dims):
    sizes = {"c": 3, "d": 2}
    shape = [sizes[symbol] for symbol in dims]
    index = with_dims(torch.arange(math.prod(shape)).reshape(shape) % 2, dims)
    got = gather(X, index, "a")
    one_hot = torch.nn.functional.one_hot(index, 2).float()
    assert_close(got, torch.einsum(f"ca,{dims}a->{dims_of(got)}", X, one_hot))


def test_gather_leaves_a_tensor_without_the_dimension_alone():
    assert gather(X, torch.tensor(0), "b") is X


def test_scale_and_mask_meet_the_tensor_by_symbol():
    mask = with_dims(torch.tensor([True, False, True, True]), "b")
    got = packed.scale_and_mask(X, with_dims(torch.tensor([1.0, 2.0]), "a"), mask)
    want = torch.einsum(f"ca,a,b->{dims_of(got)}", X, torch.tensor([1.0, 2.0]), mask.float())
    assert_close(got, want)
    assert_close(packed.scale_and_mask(X, 2.0), 2 * X)


def test_an_equation_takes_the_names_of_its_operands():
    assert rename_equation("ij,kj->i,k", X, Y) == "ca,ba->c,b"


def test_a_symbol_of_two_sizes_is_refused():
    with pytest.raises(ShapeError, match="'a' has size 2 .* and 3"):
        broadcast_all(X, with_dims(torch.zeros(3), "a"))


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="dim"):
        broadcast_all(X, dim="a")
