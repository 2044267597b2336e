"""From a matrix of second derivatives to the covariance that it stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.errors import NotFiniteError


def inverse_root(
    precision: Tensor, names: list[str], of: str = "the negative log density"
) -> Tensor:
    """Return the Cholesky factor of the inverse of a Hessian.

    Args:
        precision: The Hessian, shape ``(dim, dim)``.
        names: The site of each component, for errors.
        of: What it is the Hessian of, for errors.

    Raises:
        NotFiniteError: If it is not positive definite.
    """
    flipped, info = torch.linalg.cholesky_ex(precision.flip(-2, -1))
    if bool(info) or not bool(flipped.isfinite().all()):
        raise NotFiniteError(
            f"the Hessian of {of} is not positive definite at the point that the guide has found"
            f"{_flattest(precision, names)}; train the guide until it is at a mode, or change a "
            "model whose density has no curvature there"
        )
    root = flipped.flip(-2, -1).mT  # upper: precision = root.mT @ root, lower is its flip
    eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
    tril: Tensor = torch.linalg.solve_triangular(root, eye, upper=False)
    return tril


def _flattest(precision: Tensor, names: list[str]) -> str:
    if not bool(precision.isfinite().all()):
        bad = sorted({names[i] for i in (~precision.isfinite()).any(-1).nonzero().flatten()})
        return f": it is not finite at sites {bad}"
    values, vectors = torch.linalg.eigh(precision)
    site = names[int(vectors[:, 0].abs().argmax())]
    return f": its smallest eigenvalue is {values[0].item():.3g}, mostly of site {site!r}"
