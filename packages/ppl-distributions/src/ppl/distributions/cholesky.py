"""Cholesky factors that turn to nan where none exists.

An exception would lose a whole run, and cannot be part of a recorded program; a nan density is a
rejected proposal.
"""

from __future__ import annotations

import torch
from torch import Tensor


def nan_cholesky(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factor, all nan for a matrix that is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return torch.where((info > 0)[..., None, None], torch.nan, factor)


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the inverse of ``precision``.

    With J the reversal of rows, chol(J P J) = J U J gives P = U U^T for an upper triangular U, so
    the inverse of P is U^-T U^-1 and its lower factor U^-T: no matrix inverse is formed.
    """
    upper = torch.flip(nan_cholesky(torch.flip(precision, (-2, -1))), (-2, -1))
    eye = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    factor: Tensor = torch.linalg.solve_triangular(upper.mT, eye, upper=False)
    return factor
