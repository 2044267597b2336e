"""Cholesky factors, and the triangular systems that they solve.

A factor that does not exist turns to nan: an exception would lose a whole run, and cannot be part
of a recorded program; a nan density is a rejected proposal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppl import settings

CHOLESKY_RELATIVE_JITTER = 4.0  # in units of the machine epsilon


def _check_jitter(value: float) -> None:
    if not value >= 0:
        raise ValueError(f"cholesky_relative_jitter: expected a number >= 0, got {value}")


settings.register("cholesky_relative_jitter", __name__, "CHOLESKY_RELATIVE_JITTER", _check_jitter)


def nan_cholesky(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factor, all nan for a matrix that is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return torch.where((info > 0).unsqueeze(-1).unsqueeze(-1), torch.nan, factor)


def safe_cholesky(x: Tensor) -> Tensor:
    """Return the lower Cholesky factor of a matrix that rounding may have made semidefinite.

    Each diagonal entry is enlarged by ``CHOLESKY_RELATIVE_JITTER`` units of its last place, which
    is the same amount in whatever units the coordinates are measured.

    Args:
        x: Symmetric and positive definite up to rounding, shape ``(*batch, n, n)``.

    Returns:
        Lower triangular, shape ``(*batch, n, n)``; nan for a matrix that is indefinite.

    Example:
        >>> safe_cholesky(torch.ones(2, 2)).isfinite().all()  # of rank one
        tensor(True)
    """
    jitter = CHOLESKY_RELATIVE_JITTER * torch.finfo(x.dtype).eps
    if x.shape[-1] == 1:
        return (x * (1 + jitter)).sqrt()
    return nan_cholesky(x * (1 + jitter * eye_like(x)))


def inverse_cholesky(precision: Tensor) -> Tensor:
    """Return the inverse of the lower Cholesky factor, ``(*batch, n, n)``."""
    factor = safe_cholesky(precision)
    return triangular_solve(eye_like(factor), factor)


def precision_to_scale_tril(P: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the inverse of a precision matrix.

    With J the reversal of rows, chol(J P J) = J U J gives P = U U^T for an upper triangular U, so
    the inverse of P is U^-T U^-1 and its lower factor U^-T: no matrix inverse is formed.
    """
    upper = torch.flip(nan_cholesky(torch.flip(P, (-2, -1))), (-2, -1))
    return triangular_solve(eye_like(P), upper, upper=True, transpose=True)


def triangular_solve(x: Tensor, y: Tensor, upper: bool = False, transpose: bool = False) -> Tensor:
    """Return the solution of ``y @ result = x`` for a triangular ``y``.

    Args:
        x: Right-hand sides, shape ``(*batch, n, m)``.
        y: Triangular, shape ``(*batch, n, n)``.
        upper: Whether ``y`` is upper triangular.
        transpose: Whether to solve with the transpose of ``y`` instead.
    """
    if y.shape[-1] == 1:
        return x / y
    matrix, is_upper = (y.mT, not upper) if transpose else (y, upper)
    solution: Tensor = torch.linalg.solve_triangular(matrix, x, upper=is_upper)
    return solution


def cholesky_solve(x: Tensor, y: Tensor) -> Tensor:
    """Return the solution of ``y @ y.T @ result = x`` for a lower triangular ``y``.

    Args:
        x: Right-hand sides, shape ``(*batch, n, m)``.
        y: Lower Cholesky factor, shape ``(*batch, n, n)``.
    """
    return triangular_solve(triangular_solve(x, y), y, transpose=True)


def eye_like(x: Tensor) -> Tensor:
    """Return the identity matrix of the size, type and device of matrices."""
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
