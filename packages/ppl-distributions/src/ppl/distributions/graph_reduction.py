"""Elimination of the vertices of a weighted graph, which knows all about its spanning trees.

Eliminating vertex ``v`` adds ``w[i, v] w[v, j] / sum_k w[v, k]`` to the weight of each edge
``(i, j)`` (the star-mesh transform, which is Gaussian elimination of the Laplacian in Kirchhoff's
theorem) and divides the sum over spanning trees by ``sum_k w[v, k]``. Nothing is subtracted, so in
log space no digit is lost however unequal the weights (Grassmann, Taksar and Heyman 1985 do the
same to Markov chains).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def eliminations(log_weights: Tensor) -> list[Tensor]:
    """Return the graph, and what remains of it as vertices are eliminated from the last.

    Args:
        log_weights: Symmetric, shape ``(*batch, V, V)``; the diagonal does not count.
    Returns:
        Log weights of the graphs of the first ``V, V - 1, ..., 1`` vertices.
    """
    graphs = [log_weights]
    while graphs[-1].shape[-1] > 1:
        rest, row = graphs[-1][..., :-1, :-1], graphs[-1][..., -1, :-1]
        detour = row.unsqueeze(-1) + row.unsqueeze(-2) - row.logsumexp(-1)[..., None, None]
        graphs.append(torch.logaddexp(rest, detour))
    return graphs


def log_sum_of_trees(log_weights: Tensor) -> Tensor:
    """Return the log of the sum over spanning trees of the product of their weights."""
    graphs = eliminations(log_weights)[:-1]
    return torch.stack([graph[..., -1, :-1].logsumexp(-1) for graph in graphs]).sum(0)


def sample_parents(graphs: list[Tensor]) -> Tensor:
    """Return a random spanning tree, from what :func:`eliminations` returns.

    Returns:
        The parent of each vertex on its way to vertex 0, whose own parent it is: ``(*batch, V)``.
    """
    parent = torch.zeros_like(graphs[-1][..., 0], dtype=torch.long)
    for smaller, larger in pairwise(reversed(graphs)):
        parent = _restore_last_vertex(parent, smaller, larger)
    return parent


def _restore_last_vertex(parent: Tensor, smaller: Tensor, larger: Tensor) -> Tensor:
    """Return a random tree of the larger graph that reduces to a given tree of the smaller one.

    Each edge of the tree was there before with probability ``w_old / w_new``; otherwise it stands
    for a detour over the new vertex ``v``. Summed over the ends of all detours, trees with the same
    starts of detours have the weight of those trees with ``v`` in which the starts are the children
    of ``v``, and the parent of ``v`` is any vertex that does not descend from it.
    """
    v = parent.shape[-1]
    edge = parent.unsqueeze(-1)
    log_old = larger[..., :-1, :-1].gather(-1, edge).squeeze(-1)
    log_direct = log_old - smaller.gather(-1, edge).squeeze(-1)
    detours = torch.rand_like(log_direct).log() > log_direct
    detours[..., 0] = False  # vertex 0 has no edge to a parent
    parent = torch.where(detours, v, parent)
    itself = torch.full_like(parent[..., :1], v)
    descends = _root(torch.cat([parent, itself], -1))[..., :-1] == v
    candidates = torch.where(descends, -torch.inf, larger[..., -1, :-1])
    gumbel = -(-torch.rand_like(candidates).log()).log()
    above = (candidates + gumbel).argmax(-1, keepdim=True)
    return torch.cat([parent, above], -1)


def _root(parent: Tensor) -> Tensor:
    """Return the last ancestor of each vertex; paths double in length at each step."""
    for _ in range(parent.shape[-1].bit_length()):
        parent = parent.gather(-1, parent)
    return parent
