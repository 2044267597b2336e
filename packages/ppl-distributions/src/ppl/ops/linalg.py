"""Inverses, determinants and eigenvalues of small matrices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def rinverse(M: Tensor, sym: bool = False) -> Tensor:
    """Return the inverse of a batch of matrices, ``(*batch, n, n)``.

    Args:
        M: The matrices.
        sym: Whether they are symmetric; the inverse is then exactly symmetric as well.
    """
    inverse: Tensor = torch.linalg.inv(M)
    return (inverse + inverse.mT) / 2 if sym else inverse


def inv3d(H: Tensor, sym: bool = False) -> Tensor:
    """Return the inverse of matrices of size 3, as :func:`rinverse`."""
    return rinverse(H, sym)


def determinant_3d(H: Tensor) -> Tensor:
    """Return the determinant of matrices of size 3, shape ``(*batch, 3, 3)``."""
    determinant: Tensor = torch.linalg.det(H)
    return determinant


def eig_3d(H: Tensor) -> tuple[Tensor, ...]:
    """Return the three eigenvalues, in ascending order, of symmetric matrices of size 3."""
    eigenvalues: Tensor = torch.linalg.eigvalsh(H)
    return eigenvalues.unbind(-1)


@contextmanager
def ignore_torch_deprecation_warnings() -> Iterator[None]:
    """Silence torch's warnings about functions that it will drop, inside a ``with`` block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, message=".*deprecated.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        yield
