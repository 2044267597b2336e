"""Small matrices."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from ppl.ops.linalg import (
    determinant_3d,
    eig_3d,
    ignore_torch_deprecation_warnings,
    inv3d,
    rinverse,
)


def symmetric(n):
    torch.manual_seed(0)
    root = torch.randn(5, n, n, dtype=torch.float64)
    return root @ root.mT + torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("sym", [False, True])
def test_an_inverse_undoes_its_matrix(n, sym):
    matrix = symmetric(n)
    assert_close(rinverse(matrix, sym) @ matrix, torch.eye(n).double().expand(5, n, n))
    assert not sym or (rinverse(matrix, sym) == rinverse(matrix, sym).mT).all()


def test_matrices_of_size_three():
    matrix = symmetric(3)
    eigenvalues = torch.stack(eig_3d(matrix), -1)
    assert (eigenvalues.diff(dim=-1) > 0).all()
    assert_close(eigenvalues.prod(-1), determinant_3d(matrix))
    assert_close(eigenvalues.sum(-1), matrix.diagonal(dim1=-2, dim2=-1).sum(-1))
    assert_close(inv3d(matrix), rinverse(matrix))


def test_deprecations_are_silent_inside_the_block_only():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ignore_torch_deprecation_warnings():
            warnings.warn("torch.foo is deprecated", UserWarning, stacklevel=1)
        warnings.warn("torch.bar is deprecated", UserWarning, stacklevel=1)
    assert [str(w.message) for w in caught] == ["torch.bar is deprecated"]
