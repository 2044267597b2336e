"""Laws of the metric: velocities, momenta and kinetic energy belong to one mass matrix."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from ppl.infer.mcmc.transition import metric

from .targets import generator


def covariances(chains=3, dim=4):
    a = torch.randn(chains, dim, dim, generator=generator(0), dtype=torch.float64)
    return a @ a.mT + torch.eye(dim, dtype=torch.float64)


def test_a_dense_metric_with_a_diagonal_covariance_is_the_diagonal_metric():
    variance = covariances().diagonal(dim1=-2, dim2=-1)
    vector = torch.randn(variance.shape, generator=generator(1), dtype=torch.float64)
    one, other = metric.diagonal(variance), metric.dense(variance.diag_embed())
    assert_close(metric.velocity(one, vector), metric.velocity(other, vector))
    assert_close(metric.draw_momentum(one, vector), metric.draw_momentum(other, vector))
    assert_close(metric.kinetic_energy(one, vector), metric.kinetic_energy(other, vector))


def test_the_root_is_a_root_of_the_mass():
    dense = metric.dense(covariances())
    assert_close(dense.root @ dense.root.mT, torch.linalg.inv(dense.inverse))
    diagonal = metric.diagonal(covariances()[:, 0].abs())
    assert_close(diagonal.root**2, 1 / diagonal.inverse)


def test_velocities_keep_extra_dimensions_apart():
    for some in (metric.dense(covariances()), metric.diagonal(covariances()[:, 0].abs())):
        momentum = torch.randn(3, 2, 5, 4, generator=generator(2), dtype=torch.float64)
        together = metric.velocity(some, momentum)
        assert_close(together[:, 1, 3], metric.velocity(some, momentum[:, 1, 3]))


def test_a_covariance_that_is_not_positive_definite_falls_back_to_its_diagonal_in_its_chain_only():
    good = covariances(1)[0]
    bad = good.clone()
    bad[0, 1] = bad[1, 0] = 100.0
    found = metric.dense(torch.stack((good, bad)))
    assert_close(found.inverse[0], good)
    assert_close(found.inverse[1], good.diagonal().diag_embed())
    assert found.root.isfinite().all()
