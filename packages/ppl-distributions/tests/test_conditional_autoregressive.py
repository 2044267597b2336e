"""Gaussian fields over areas against their dense matrices."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import neighborhood as module
from ppl.distributions.neighborhood import neighborhood
from ppl.distributions.testing.statistics import assert_zero_mean
from ppl.errors import ShapeError


def lattice(rows, columns):
    """Return the adjacency matrix of a grid of areas, with weights."""
    site = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).double()
    touching = (torch.cdist(site, site) - 1).abs() < 1e-9
    weight = 1 + torch.arange(len(site)).double()
    return touching * (weight + weight.unsqueeze(-1))


W = lattice(4, 5)
D = W.sum(-1).diag()


def test_a_car_is_a_normal_with_a_sparse_precision():
    x, loc = torch.randn(7, 20).double(), torch.randn(20).double()
    for adjacency in (W, W.to_sparse()):
        d = dist.CAR(loc, 0.9, 1.3, adjacency)
        dense = dist.MultivariateNormal(loc, precision_matrix=1.3 * (D - 0.9 * W))
        assert_close(d.log_prob(x), dense.log_prob(x))
        assert_close(d.variance, dense.variance)


def test_the_conditional_of_an_area_is_that_of_its_neighbours():
    """Besag's definition: mean ``loc + correlation * weighted mean of deviations``."""
    d = dist.CAR(torch.zeros(20).double(), 0.8, 1.5, W)
    x = torch.randn(20).double().requires_grad_()
    (slope,) = torch.autograd.grad(d.log_prob(x), x)
    neighbours = 0.8 * (W @ x) / W.sum(-1)
    assert_close(slope, 1.5 * W.sum(-1) * (neighbours - x))


def test_draws_of_a_car_and_an_icar_have_their_covariances():
    torch.manual_seed(0)
    pinv = torch.linalg.pinv(D - W, hermitian=True)
    for d, covariance in (
        (dist.CAR(torch.zeros(20), 0.95, 2.0, W), torch.linalg.inv(2 * (D - 0.95 * W))),
        (dist.ICAR(0.5, W), 0.25 * pinv),
        (dist.ICAR(0.5, W, mean_scale=0.1), 0.25 * pinv + 0.01),
    ):
        x = d.sample((20_000,)).double()
        assert_zero_mean(x.unsqueeze(-1) * x.unsqueeze(-2) - covariance, str(d))


def test_an_icar_penalizes_differences_of_neighbours():
    x = torch.randn(20).double()
    x = x - x.mean()
    d = dist.ICAR(torch.tensor(0.7).double(), W)
    differences = (W * (x - x.unsqueeze(-1)).square()).sum() / 2
    assert_close(d.log_prob(x) - d.log_prob(torch.zeros_like(x)), -differences / (2 * 0.49))


def test_a_soft_icar_is_a_normal_over_all_vectors():
    d = dist.ICAR(torch.tensor(0.7).double(), W, mean_scale=0.2)
    precision = (D - W) / 0.49 + 1 / (20 * 0.2) ** 2
    x = torch.randn(3, 20).double()
    dense = dist.MultivariateNormal(torch.zeros(20).double(), precision_matrix=precision)
    assert_close(d.log_prob(x), dense.log_prob(x))


def test_the_spectrum_of_a_matrix_is_found_once(monkeypatch):
    calls = []
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda m: calls.append(1) or eigh(m))
    adjacency = lattice(3, 3)
    for correlation in (0.1, 0.5, 0.9):
        d = dist.CAR(torch.zeros(9), correlation, 1.0, adjacency)
        d.log_prob(d.sample())
    assert len(calls) == 1
    adjacency *= 2  # a change in place is noticed
    dist.CAR(torch.zeros(9), 0.5, 1.0, adjacency).log_prob(torch.zeros(9))
    assert len(calls) == 2
    known = len(module._KNOWN)
    del adjacency, d
    assert len(module._KNOWN) < known


def test_batches_of_parameters_broadcast():
    d = dist.CAR(torch.zeros(3, 1, 20), torch.tensor([0.2, 0.5]), 1.0, W)
    assert d.batch_shape == (3, 2) and d.event_shape == (20,)
    assert d.sample((4,)).shape == (4, 3, 2, 20) and d.variance.shape == (3, 2, 20)


PAIR = torch.tensor([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("adjacency", "error", "message"),
    [
        (torch.zeros(2, 3), ShapeError, r"\(2, 3\)"),
        (torch.zeros(1, 2, 2), ShapeError, r"\(1, 2, 2\)"),
        (torch.tensor([[0.0, 1.0], [0.0, 0.0]]), ValueError, "symmetric"),
        (torch.ones(2, 2), ValueError, "diagonal"),
        (torch.block_diag(PAIR, torch.zeros(1, 1)), ValueError, r"areas \[2\]"),
    ],
)
def test_a_matrix_that_is_no_neighbourhood_is_refused(adjacency, error, message):
    with pytest.raises(error, match=message):
        neighborhood(adjacency)


def test_an_icar_needs_a_connected_graph_and_a_car_does_not():
    islands = torch.block_diag(PAIR, PAIR)
    dist.CAR(torch.zeros(4), 0.5, 1.0, islands).log_prob(torch.zeros(4))
    with pytest.raises(ValueError, match="2 parts"):
        dist.ICAR(1.0, islands).log_prob(torch.zeros(4))
