"""Parameters and shorthands that the cases share."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import torch
from torch import tensor


def at(**params):
    """Return parameters by name."""
    return params


def simplex(*weights):
    p = tensor(weights, dtype=torch.float64)
    return p / p.sum(-1, keepdim=True)


REAL = tensor([-0.7, 1.3])
POSITIVE = tensor([0.8, 2.1])
SHAPE = tensor([1.7, 3.2])
UNIT = tensor([0.3, 0.85])
VECTOR = tensor([[0.5, -1.0], [1.5, 0.2]])
SCALES = tensor([[0.5, 1.0], [1.5, 0.7]])
TRIL = tensor([[[1.0, 0.0], [0.5, 0.8]], [[0.6, 0.0], [-0.4, 1.2]]])
WEIGHTS = simplex([1.0, 2.0, 3.0], [4.0, 1.0, 2.0])
COUNTS = torch.arange(200.0, dtype=torch.float64)
COMPOSITIONS = tensor(
    [c for c in itertools.product(range(6), repeat=3) if sum(c) == 5], dtype=torch.float64
)
BOTH = {"has_cdf": True, "has_icdf": True}


def image(base, inverse, log_slope):
    """Return the image of a scipy distribution, given its inverse and the log slope of that."""
    return SimpleNamespace(logpdf=lambda x: base.logpdf(inverse(x)) + log_slope(x))
