"""Laws of densities, probabilities and their integrals."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from ppl.validation import validation_enabled

from .case import Case
from .quadrature import grid


def density_equals_the_oracle(case: Case) -> None:
    """The log density of draws equals that of a second implementation."""
    assert case.oracle is not None
    torch.manual_seed(0)
    for i, dist in enumerate(case.members()):
        oracle = case.oracle(*[p[i].numpy() for p in case.parameters().values()])
        score = oracle.logpmf if hasattr(oracle, "logpmf") else oracle.logpdf
        value = dist.sample((50,))
        want = torch.stack([torch.as_tensor(score(x.numpy())).reshape(()) for x in value])
        assert_close(dist.log_prob(value), want.double(), rtol=1e-7, atol=1e-8)


def density_integrates_to_one(case: Case) -> None:
    """The density integrates to one over its support."""
    with validation_enabled(False):
        for dist in case.members():
            space = case.space(dist)
            points, weights = grid(case.coordinates_of(dist, 2000))
            mass = (space.log_density(points).exp() * weights).nan_to_num().sum()
            assert_close(mass, torch.ones_like(mass), rtol=0.0, atol=1e-4)


def probabilities_sum_to_one(case: Case) -> None:
    """The probabilities of all values sum to one."""
    for dist in case.members():
        total = dist.log_prob(case.all_values(dist)).exp().sum()
        assert_close(total, torch.ones_like(total), rtol=0.0, atol=1e-8)


def cdf_is_the_integral_of_the_density(case: Case) -> None:
    """The derivative of the cdf is the density."""
    torch.manual_seed(0)
    dist = case.dist()
    value = dist.sample((50,)).requires_grad_()
    (slope,) = torch.autograd.grad(dist.cdf(value).sum(), value)
    assert_close(slope, dist.log_prob(value).exp(), rtol=1e-6, atol=1e-9)


def icdf_inverts_the_cdf(case: Case) -> None:
    """The cdf undoes the icdf."""
    dist = case.dist()
    p = (
        torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
        .unsqueeze(-1)
        .expand(19, *dist.batch_shape)
    )
    assert_close(dist.cdf(dist.icdf(p)), p)


def support_is_enumerated(case: Case) -> None:
    """The support is enumerated once, in lockstep over the batch."""
    dist = case.dist()
    values, compact = dist.enumerate_support(), dist.enumerate_support(expand=False)
    assert values.shape[1:] == dist.batch_shape + dist.event_shape
    assert compact.shape[1:] == (1,) * len(dist.batch_shape) + dist.event_shape
    assert_close(compact.expand_as(values), values)
    assert compact.flatten(1).unique(dim=0).shape[0] == compact.shape[0]
