"""Quadratic forms, and integrals of their exponentials over some of the variables."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .cholesky import eye_like, inverse_cholesky, safe_cholesky, triangular_solve
from .matrices import broadcast_tensors_without_dim, matvecmul


class Quadratic(NamedTuple):
    """The form ``info_vec @ x - x @ precision @ x / 2``.

    Attributes:
        info_vec: Shape ``(*batch, n)``.
        precision: Shape ``(*batch, n, n)``.
    """

    info_vec: Tensor
    precision: Tensor

    def split(self, left: int, right: int) -> tuple[Quadratic, Quadratic, Tensor]:
        """Return the forms of the left and of the right variables, and the precision between."""
        sizes = (left, right)
        left_info, right_info = self.info_vec.split_with_sizes(sizes, -1)
        above, below = self.precision.split_with_sizes(sizes, -2)
        left_precision, coupling = above.split_with_sizes(sizes, -1)
        right_precision = below.split_with_sizes(sizes, -1)[1]
        return (
            Quadratic(left_info, left_precision),
            Quadratic(right_info, right_precision),
            coupling,
        )

    def at(self, value: Tensor) -> Tensor:
        """Return the form at ``value``, of shape ``(*batch, n)``."""
        return ((self.info_vec - matvecmul(self.precision, value) / 2) * value).sum(-1)

    def condition(self, value: Tensor) -> tuple[Tensor, Quadratic]:
        """Return the constant and the form that fixing the rightmost variables leaves.

        Args:
            value: Of the rightmost variables, shape ``(*batch, k)``.
        """
        count = value.shape[-1]
        left, right, coupling = self.split(self.info_vec.shape[-1] - count, count)
        info_vec = left.info_vec - matvecmul(coupling, value)
        return right.at(value), Quadratic(info_vec, left.precision)

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """Return the maximum and an upper triangular L with ``inv(precision) = L @ L.T``."""
        whitening = inverse_cholesky(self.precision)
        return matvecmul(whitening.mT, matvecmul(whitening, self.info_vec)), whitening.mT

    def rotated(self, count: int) -> Quadratic:
        """Return the form with the leftmost ``count`` variables moved to the right."""
        if count == 0:
            return self
        precision = self.precision.roll((-count, -count), (-2, -1))
        return Quadratic(self.info_vec.roll(-count, -1), precision)

    def permuted(self, perm: Tensor) -> Quadratic:
        """Return the form with its variables in the order of the indices ``perm``."""
        return Quadratic(self.info_vec[..., perm], self.precision[..., perm[:, None], perm])

    def padded(self, left: int = 0, right: int = 0) -> Quadratic:
        """Return the same form of more variables, constant in the new ones."""
        return Quadratic(
            pad(self.info_vec, (left, right)), pad(self.precision, (left, right, left, right))
        )


class Integral(NamedTuple):
    """The log of an integral: a quadratic form of the other variables, and a constant in two parts.

    Attributes:
        rest: The form that remains.
        half_square: ``info @ inv(precision) @ info / 2`` of the integrated variables, ``batch``.
        log_volume: Log of ``sqrt(det(2 pi inv(precision)))`` of them, ``batch``.
    """

    rest: Quadratic
    half_square: Tensor
    log_volume: Tensor


def integrate(inner: Quadratic, coupling: Tensor, rest: Quadratic) -> Integral:
    """Return the log of the integral over x of ``exp(inner(x) - x @ coupling @ y + rest(y))``.

    Args:
        inner: The form of x, with a positive definite precision.
        coupling: Precision between x and y, shape ``(*batch, n, k)``.
        rest: The form of y.
    """
    factor = safe_cholesky(inner.precision)
    precision, info_vec, square = _gram(factor, coupling, inner.info_vec)
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return Integral(
        Quadratic(rest.info_vec - info_vec, rest.precision - precision),
        square / 2,
        coupling.shape[-2] / 2 * math.log(2 * math.pi) - log_det,
    )


def _gram(factor: Tensor, matrix: Tensor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inner products of the columns of ``matrix`` and of ``vector``, once whitened."""
    if vector.shape[:-1] != matrix.shape[:-2]:  # one matrix for many vectors
        white = triangular_solve(eye_like(factor), factor)
        matrix, vector = white @ matrix, matvecmul(white, vector)
        return matrix.mT @ matrix, matvecmul(matrix.mT, vector), vector.square().sum(-1)
    both = torch.cat([matrix, vector.unsqueeze(-1)], -1)
    white = triangular_solve(both, factor)
    gram, n = white.mT @ white, matrix.shape[-1]
    columns, last = gram.split_with_sizes((n, 1), -1)
    cross, square = last.squeeze(-1).split_with_sizes((n, 1), -1)
    return columns[..., :n, :], cross, square.squeeze(-1)


def integrate_ends(form: Quadratic, left: int, right: int) -> Integral:
    """Integrate over the ``left`` leftmost and ``right`` rightmost variables."""
    gone = left + right
    rest, inner, coupling = form.rotated(left).split(form.info_vec.shape[-1] - gone, gone)
    return integrate(inner, coupling.mT, rest)


def integrate_product(x: Quadratic, y: Quadratic, dims: int) -> Integral:
    """Integrate over the ``dims`` variables that are the last of ``x`` and the first of ``y``."""
    a, c = x.info_vec.shape[-1] - dims, y.info_vec.shape[-1] - dims
    x_first, x_last, x_coupling = x.split(a, dims)
    y_first, y_last, y_coupling = y.split(dims, c)
    coupling = torch.cat(broadcast_tensors_without_dim([x_coupling.mT, y_coupling], -1), -1)
    rest = add(x_first.padded(right=c), y_last.padded(left=a))
    return integrate(add(x_last, y_first), coupling, rest)


def add(x: Quadratic, y: Quadratic) -> Quadratic:
    """Return the sum of two forms of the same variables."""
    return Quadratic(x.info_vec + y.info_vec, x.precision + y.precision)
