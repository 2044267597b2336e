"""Normal vectors over neighbouring areas, and those that sum to zero."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.stats as st
import torch
from torch import tensor

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import POSITIVE, SHAPE, at

WEIGHTED = tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
GRID = (torch.cdist(*[torch.cartesian_prod(*[torch.arange(3.0)] * 2)] * 2) == 1).to(torch.uint8)


SPARSE_GRID = GRID.to_sparse()


def laplacian(adjacency, correlation=1.0):
    w = adjacency.double().numpy()
    return np.diag(w.sum(-1)) - correlation * w


def car(loc, correlation, precision):
    return st.multivariate_normal(loc, np.linalg.inv(precision * laplacian(WEIGHTED, correlation)))


def on_the_hyperplane(covariance):
    """Return a normal whose covariance lacks one dimension; its density is over the others."""
    values, vectors = np.linalg.eigh(covariance)
    inside = st.multivariate_normal(np.zeros(len(values) - 1), np.diag(values[1:]))
    return SimpleNamespace(logpdf=lambda x: inside.logpdf(x @ vectors[:, 1:]))


def soft_icar(scale):
    mean = np.full((9, 9), 0.3**2)
    return st.multivariate_normal(np.zeros(9), scale**2 * np.linalg.pinv(laplacian(GRID)) + mean)


CASES = [
    Case(
        "CAR",
        lambda loc, correlation, precision: dist.CAR(loc, correlation, precision, WEIGHTED),
        at(
            loc=tensor([[0.5, -1.0, 2.0], [0.0, 1.0, 0.3]]),
            correlation=tensor([0.9, -0.5]),
            precision=POSITIVE,
        ),
        car,
    ),
    Case(
        "ICAR",
        lambda scale: dist.ICAR(scale, WEIGHTED),
        at(scale=POSITIVE),
        lambda s: on_the_hyperplane(s**2 * np.linalg.pinv(laplacian(WEIGHTED))),
    ),
    Case("ICAR_grid", lambda scale: dist.ICAR(scale, SPARSE_GRID, 0.3), at(scale=SHAPE), soft_icar),
    Case(
        "ZeroSumNormal",
        lambda scale: dist.ZeroSumNormal(scale, 3),
        at(scale=POSITIVE),
        lambda s: on_the_hyperplane(s**2 * (np.eye(3) - 1 / 3)),
    ),
]
