"""Arrowhead matrices, against their dense forms."""

import pytest
import torch
from torch.testing import assert_close

from ppl.ops.arrowhead import SymmArrowhead, sqrt, triu_gram, triu_inverse, triu_matvecmul

HEADS = [0, 1, 2, 4]


def dense_of(x):
    """Return the dense form of an upper triangular arrowhead matrix."""
    head = x.top.shape[0]
    bottom = torch.cat([x.top.new_zeros(len(x.bottom_diag), head), x.bottom_diag.diag()], -1)
    return torch.cat([x.top, bottom])


def positive_definite(head):
    """Return an arrowhead matrix of size 4 and its dense form."""
    torch.manual_seed(0)
    dense = torch.eye(4, dtype=torch.float64) * torch.tensor([5.0, 6.0, 7.0, 8.0])
    corner = torch.rand(head, 4, dtype=torch.float64)
    dense[:head] += corner
    dense[:, :head] += corner.mT
    return SymmArrowhead(dense[:head], dense.diagonal()[head:]), dense


@pytest.mark.parametrize("head", HEADS)
def test_the_root_is_triangular_and_its_square_is_the_matrix(head):
    x, dense = positive_definite(head)
    root = dense_of(sqrt(x))
    assert_close(root, root.triu())
    assert_close(root @ root.mT, dense)


@pytest.mark.parametrize("head", HEADS)
def test_inverses_products_and_grams_are_the_dense_ones(head):
    x, _ = positive_definite(head)
    root = sqrt(x)
    dense, y = dense_of(root), torch.randn(4, dtype=torch.float64)
    assert_close(dense_of(triu_inverse(root)), dense.inverse())
    assert_close(triu_matvecmul(root, y), dense @ y)
    assert_close(triu_matvecmul(root, y, transpose=True), dense.mT @ y)
    gram = triu_gram(root)
    assert_close(gram.diag() if head == 0 else gram, dense.mT @ dense)


def test_a_matrix_that_is_not_positive_definite_has_no_root():
    x, _ = positive_definite(2)
    assert sqrt(SymmArrowhead(-x.top, x.bottom_diag)).top.isnan().any()
