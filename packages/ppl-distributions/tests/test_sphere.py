"""Unit vectors reached from real ones."""

import math

import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import biject_to, constraints


def test_integrals_over_the_sphere_become_integrals_over_real_vectors():
    # with weights relative to a standard normal, under which all directions are alike
    transform = biject_to(constraints.sphere)
    for n in (2, 3, 5):
        x = torch.randn(10, n, dtype=torch.float64)
        normal = dist.Normal(torch.zeros(n, dtype=torch.float64), 1.0).to_event(1)
        area = 2 * math.pi ** (n / 2) / math.gamma(n / 2)
        log_weight = transform.log_abs_det_jacobian(x, transform(x)) - normal.log_prob(x)
        assert_close(log_weight.exp(), torch.full((10,), area, dtype=torch.float64))


def test_directions_are_their_own_representatives():
    transform = biject_to(constraints.sphere)
    y = transform(torch.randn(7, 3))
    assert constraints.sphere.check(y).all()
    assert_close(transform(transform.inv(y)), y)
    assert transform == biject_to(constraints.sphere)
