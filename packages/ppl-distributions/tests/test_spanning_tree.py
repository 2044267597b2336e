"""Spanning trees against brute force, and where brute force has no digits left."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import SpanningTree
from ppl.distributions.spanning_tree import find_best_tree, make_complete_graph, sample_tree
from ppl.errors import ShapeError, SupportError


def logits(num_vertices, scale=1.0, batch=()):
    torch.manual_seed(0)
    return scale * torch.randn(*batch, num_vertices * (num_vertices - 1) // 2).double()


def test_the_complete_graph_is_in_colexicographic_order():
    i, j = make_complete_graph(5)
    assert (i + j * (j - 1) // 2 == torch.arange(10)).all() and (i < j).all()


@pytest.mark.parametrize("num_vertices", range(2, 7))
def test_there_are_as_many_trees_as_cayley_says(num_vertices):
    trees = SpanningTree(logits(num_vertices)).enumerate_support()
    assert len(trees) == num_vertices ** (num_vertices - 2)
    SpanningTree(logits(num_vertices)).validate_edges(trees)


def test_more_than_six_vertices_are_not_enumerated():
    with pytest.raises(NotImplementedError, match="7 vertices"):
        SpanningTree(logits(7)).enumerate_support()


def test_edge_mean_is_the_share_of_trees_with_the_edge():
    d = SpanningTree(logits(5, 2.0, (3,)))
    trees = d.enumerate_support()  # (tree, 3, 4, 2)
    has_edge = torch.nn.functional.one_hot(trees, 5).double()
    has_edge = torch.einsum("tbei,tbej->tbij", has_edge[..., 0, :], has_edge[..., 1, :])
    want = (d.log_prob(trees).exp()[..., None, None] * has_edge).sum(0)
    assert_close(d.edge_mean, want + want.mT)


def test_the_mode_is_the_most_probable_tree():
    d = SpanningTree(logits(6, 1.0, (4,)))
    assert_close(d.log_prob(d.mode), d.log_prob(d.enumerate_support()).amax(0))


def test_the_sum_over_trees_keeps_its_digits_when_weights_are_unequal():
    d = SpanningTree(logits(6, 300.0))
    i, j = d.mode.unbind(-1)
    best = d.edge_logits[i + j * (j - 1) // 2].sum()
    assert_close(d.log_partition_function, best)  # one tree outweighs all others together
    assert (d.sample() == d.mode).all()


def test_draws_of_a_large_graph_have_the_mean_of_each_edge():
    d = SpanningTree(logits(12, 2.0))
    num_draws = 4000
    i, j = d.sample((num_draws,)).unbind(-1)
    share = torch.bincount((i + j * (j - 1) // 2).flatten(), minlength=66) / num_draws
    i, j = make_complete_graph(12)
    want = d.edge_mean[i, j]
    error = (want * (1 - want) / num_draws).sqrt().clamp(min=1 / num_draws)
    assert ((share - want).abs() / error).max() < 5  # about 4e-5 chance of a false alarm


def test_an_absent_edge_is_in_no_tree():
    edge_logits = logits(5)
    edge_logits[3] = -torch.inf
    edge_logits.requires_grad_()
    d = SpanningTree(edge_logits)
    trees = d.enumerate_support()
    uses = (trees == torch.tensor([0, 3])).all(-1).any(-1)
    log_prob = d.log_prob(trees)
    assert (log_prob[uses] == -torch.inf).all()
    assert_close(log_prob.exp().sum(), torch.ones(()).double())
    (slope,) = torch.autograd.grad(d.log_partition_function, edge_logits)
    assert slope.isfinite().all() and slope[3] == 0
    assert not (d.sample((200,)) == torch.tensor([0, 3])).all(-1).any()


def test_a_tree_of_two_vertices_is_certain():
    d = SpanningTree(torch.tensor([0.3]))
    assert d.sample().tolist() == [[0, 1]] and d.log_prob(d.sample()) == 0


@pytest.mark.parametrize(
    "edges, error, message",
    [
        ([[0, 1]], ShapeError, "expected"),
        ([[0, 1], [2, 1]], SupportError, "pair i < j"),
        ([[0, 1], [0, 3]], SupportError, "pair i < j"),
        ([[1, 2], [0, 1]], SupportError, "colexicographic"),
        ([[0, 1], [0, 1]], SupportError, "colexicographic"),
    ],
)
def test_edges_that_are_no_tree_are_refused(edges, error, message):
    with pytest.raises(error, match=message):
        SpanningTree(logits(3)).log_prob(torch.tensor(edges))


def test_edges_with_a_cycle_are_refused():
    with pytest.raises(SupportError, match="cycle"):
        SpanningTree(logits(4)).validate_edges(torch.tensor([[0, 1], [0, 2], [1, 2]]))


def test_a_number_of_logits_that_fits_no_graph_is_refused():
    with pytest.raises(ShapeError, match=r"V \* \(V - 1\) // 2"):
        SpanningTree(torch.zeros(4))


def test_functions_accept_the_options_of_other_samplers():
    edges = sample_tree(logits(4), init_edges=None, mcmc_steps=10, backend="cpp")
    SpanningTree(logits(4), sampler_options={"mcmc_steps": 3}).validate_edges(edges)
    SpanningTree(logits(4)).validate_edges(find_best_tree(logits(4), backend="cpp"))
