"""Functions of tensors, against numpy, scipy and what defines them."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from torch.testing import assert_close

import ppl.ops.tensor_utils as utils
from ppl import settings
from ppl.errors import ShapeError

SIZES = [1, 2, 3, 4, 5, 8, 13]


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("size", SIZES)
def test_cosine_transforms_are_the_orthonormal_ones_of_scipy(size):
    x = randn(3, size)
    assert_close(utils.dct(x), torch.tensor(scipy.fft.dct(x.numpy(), norm="ortho")))
    assert_close(utils.idct(x), torch.tensor(scipy.fft.idct(x.numpy(), norm="ortho")))
    assert_close(utils.dct(x.mT, dim=-2), utils.dct(x).mT)
    assert_close(utils.idct(x.mT, dim=0), utils.idct(x).mT)


@pytest.mark.parametrize("size", SIZES)
def test_the_haar_transform_is_orthonormal_and_has_an_inverse(size):
    matrix = utils.haar_transform(torch.eye(size, dtype=torch.float64))
    assert_close(matrix @ matrix.mT, torch.eye(size, dtype=torch.float64))
    x = randn(3, size)
    assert_close(utils.inverse_haar_transform(utils.haar_transform(x)), x)


def test_haar_coefficients_go_from_coarse_to_fine():
    x = torch.tensor([4.0, 2.0, 1.0, 3.0])
    want = [10 / 2, 2 / 2, 2 / math.sqrt(2), -2 / math.sqrt(2)]
    assert_close(utils.haar_transform(x), torch.tensor(want))


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("m,n", [(1, 1), (5, 2), (5, 3), (2, 5), (4, 4), (9, 6)])
def test_convolutions_are_those_of_numpy(m, n, mode):
    signal, kernel = randn(m), randn(n)
    want = np.convolve(signal.numpy(), kernel.numpy(), mode)
    assert_close(utils.convolve(signal, kernel, mode), torch.tensor(want))


def test_convolutions_broadcast_and_refuse_unknown_modes():
    assert utils.convolve(randn(3, 1, 5), randn(2, 4)).shape == (3, 2, 8)
    with pytest.raises(ValueError, match="'full', 'valid' or 'same'"):
        utils.convolve(randn(5), randn(2), "circular")


def test_fast_lengths_have_small_factors_and_none_is_skipped():
    def is_smooth(n):
        for factor in (2, 3, 5):
            while n % factor == 0:
                n //= factor
        return n == 1

    for size in range(1, 200):
        found = utils.next_fast_len(size)
        assert is_smooth(found) and found >= size
        assert not any(is_smooth(n) for n in range(size, found))


def test_pairs_of_numbers_are_complex_numbers():
    x = randn(3, 2)
    assert_close(utils.as_complex(x.mT.contiguous().mT), x[:, 0] + 1j * x[:, 1])


def test_blocks_on_the_diagonal_are_embedded_and_found_again():
    blocks = randn(4, 3, 2, 5)
    matrix = utils.block_diag_embed(blocks)
    assert_close(matrix, torch.stack([torch.block_diag(*b) for b in blocks]))
    assert_close(utils.block_diagonal(matrix, 3), blocks)  # the number of blocks, not their size
    with pytest.raises(ShapeError, match="4 blocks"):
        utils.block_diagonal(matrix, 4)


@pytest.mark.parametrize("shape", [(1, 3, 2), (3, 1, 1), (2, 2, 3), (3, 2, 2), (2, 4, 1, 3)])
def test_finding_blocks_undoes_embedding_them(shape):
    blocks = randn(*shape)
    assert_close(utils.block_diagonal(utils.block_diag_embed(blocks), shape[-3]), blocks)


def test_repeated_products_are_powers():
    matrix = randn(3, 2, 2)
    powers = utils.repeated_matmul(matrix, 5)
    for exponent, power in enumerate(powers, start=1):
        assert_close(power, torch.linalg.matrix_power(matrix, exponent))
    assert utils.repeated_matmul(matrix, 1).shape == (1, 3, 2, 2)
    with pytest.raises(ValueError, match="n >= 1"):
        utils.repeated_matmul(matrix, 0)


def test_products_broadcast():
    x, y = randn(4, 2, 3), randn(3)
    assert_close(utils.matvecmul(x, y), torch.einsum("bij,j->bi", x, y))
    assert_close(utils.matmul(x, y[:, None]).squeeze(-1), utils.matvecmul(x, y))


def test_tensors_are_broadcast_in_all_dimensions_but_one():
    x, y = utils.broadcast_tensors_without_dim([randn(3, 1, 4), randn(2, 5)], -1)
    assert x.shape == (3, 2, 4) and y.shape == (3, 2, 5)
    x, y = utils.broadcast_tensors_without_dim([randn(4), randn(3, 2, 1)], -2)
    assert x.shape == (3, 1, 4) and y.shape == (3, 2, 4)
    with pytest.raises(ShapeError, match="negative dim"):
        utils.broadcast_tensors_without_dim([randn(4)], 0)
    with pytest.raises(ShapeError, match="broadcast"):
        utils.broadcast_tensors_without_dim([randn(3, 4), randn(2, 4)], -1)


@pytest.mark.parametrize("period", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("dim", [0, -1])
def test_periodic_functions_equal_their_loops(period, dim):
    x = randn(7, 7)
    sums = x.movedim(dim, 0).clone()
    for t in range(period, 7):
        sums[t] += sums[t - period]
    assert_close(utils.periodic_cumsum(x, period, dim), sums.movedim(0, dim))
    start = x.narrow(dim, 0, min(period, 7))
    rows = [start.select(dim, t % start.shape[dim]) for t in range(11)]
    assert_close(utils.periodic_repeat(start, 11, dim), torch.stack(rows, dim))


@pytest.mark.parametrize(
    "arguments,periods",
    [((6,), [6, 3]), ((7,), [7, 3.5, 7 / 3]), ((6, 12, 2.5), [12, 6, 4, 3]), ((6, 4, 4), [])],
)
def test_periodic_features_are_waves_of_all_periods_between_the_limits(arguments, periods):
    features = utils.periodic_features(*arguments, dtype=torch.float64)
    time = torch.arange(6 if arguments[0] == 6 else 7, dtype=torch.float64)
    waves = [2 * math.pi / p * time for p in periods]
    want = [w.cos() for w in waves] + [-w.sin() for w in waves]
    assert features.shape == (len(time), 2 * len(periods))
    for column, wave in zip(features.unbind(-1), want, strict=True):
        assert_close(column, wave)


@pytest.mark.parametrize("limits", [(3, 4), (3, 1)])
def test_periodic_features_refuse_limits_out_of_order(limits):
    with pytest.raises(ValueError, match="2 <= min_period <= max_period"):
        utils.periodic_features(6, *limits)


def test_vectors_are_normalized_and_zero_becomes_a_unit_vector():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit = utils.safe_normalize(x)
    assert_close(unit, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    assert torch.autograd.grad(unit.sum(), x)[0].isfinite().all()
    assert_close(utils.safe_normalize(x[0], p=1), torch.tensor([3 / 7, 4 / 7]))


@pytest.mark.parametrize("size", [1, 3])
def test_cholesky_factors_solve_systems(size):
    root = randn(4, size, size)
    matrix, x = root @ root.mT + torch.eye(size).double(), randn(4, size, 2)
    lower = utils.safe_cholesky(matrix)
    assert_close(lower @ lower.mT, matrix)
    assert_close(utils.precision_to_scale_tril(matrix), torch.linalg.cholesky(matrix.inverse()))
    assert_close(utils.cholesky_solve(x, lower), torch.linalg.solve(matrix, x))
    assert_close(lower @ utils.triangular_solve(x, lower), x)
    assert_close(lower.mT @ utils.triangular_solve(x, lower, transpose=True), x)
    assert_close(lower.mT @ utils.triangular_solve(x, lower.mT, upper=True), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", [1.0, 1e-6])
def test_a_singular_matrix_has_a_safe_factor_in_any_units(dtype, units):
    x = torch.tensor([[1.0], [units]], dtype=dtype)
    factor = utils.safe_cholesky(x @ x.mT)
    assert factor.isfinite().all() and (factor.diagonal() > 0).all()
    assert_close(factor @ factor.mT, x @ x.mT, rtol=1e-5, atol=0.0)


def test_an_indefinite_matrix_has_a_factor_of_nan():
    assert utils.safe_cholesky(-torch.eye(2)).isnan().all()
    assert utils.safe_cholesky(-torch.eye(1)).isnan().all()


def test_the_jitter_is_a_setting():
    with settings.context(cholesky_relative_jitter=0.0):
        assert utils.safe_cholesky(torch.ones(2, 2))[1, 1].nan_to_num(0.0) == 0
    with pytest.raises(ValueError, match=">= 0"):
        settings.set(cholesky_relative_jitter=-1.0)
