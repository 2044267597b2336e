"""Random spanning trees of complete graphs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.errors import ShapeError, SupportError

from .expansion import expand_parameters, unexpanded
from .graph_reduction import eliminations, log_sum_of_trees, sample_parents

_LARGEST_ENUMERATED = 6


class SpanningTree(TorchDistribution):
    """Spanning tree of a complete graph, with weight ``exp`` of the sum of its edge logits.

    A tree over ``V`` vertices is an integer tensor of shape ``(V - 1, 2)``: edges ``(i, j)`` with
    ``i < j`` in colexicographic order, that is, ordered by ``j``, then by ``i``.

    Args:
        edge_logits: One logit for each edge of the complete graph, shape
            ``(*batch, V * (V - 1) // 2)``, in the order of :func:`make_complete_graph`:
            (0, 1), (0, 2), (1, 2), (0, 3), ... so that edge ``(i, j)`` is ``i + j * (j - 1) // 2``.
            A logit of -inf removes an edge.
        sampler_options: Accepted for programs that tune an approximate sampler; draws are exact.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If no complete graph has that many edges.

    Example:
        >>> d = SpanningTree(torch.zeros(3))
        >>> d.enumerate_support().tolist()
        [[[0, 1], [0, 2]], [[0, 1], [1, 2]], [[0, 2], [1, 2]]]
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "edge_logits": constraints.independent(constraints.real, 1)
    }
    has_enumerate_support = True

    def __init__(
        self,
        edge_logits: Tensor,
        sampler_options: dict[str, Any] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.num_vertices: int = _num_vertices(edge_logits)
        self.edge_logits = edge_logits
        self.sampler_options: dict[str, Any] = sampler_options or {}
        event_shape = torch.Size([self.num_vertices - 1, 2])
        super().__init__(edge_logits.shape[:-1], event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=2)
    def support(self) -> Any:
        return _Trees(self.num_vertices)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def validate_edges(self, edges: Tensor) -> None:
        """Check a batch of trees.

        Raises:
            ShapeError: If the last two dimensions are not ``(V - 1, 2)``.
            SupportError: If a tensor is no tree, or its edges are not sorted.
        """
        if edges.shape[-2:] != self.event_shape:
            raise ShapeError(
                f"SpanningTree: edges have shape {tuple(edges.shape)}, expected "
                f"(*batch, {self.num_vertices - 1}, 2)"
            )
        if not _are_pairs(edges, self.num_vertices).all():
            raise SupportError(
                f"SpanningTree: an edge is not a pair i < j of vertices below {self.num_vertices}"
            )
        if not _are_ordered(edges).all():
            raise SupportError(
                "SpanningTree: edges are not in colexicographic order; sort them by "
                "i + j * (j - 1) // 2"
            )
        if not _is_connected(edges, self.num_vertices).all():
            raise SupportError("SpanningTree: the edges have a cycle, so they are no tree")

    @property
    def log_partition_function(self) -> Tensor:
        """Log of the sum of the weights of all trees, shape ``batch``."""
        log_sum = log_sum_of_trees(_adjacency(unexpanded(self).edge_logits))
        return log_sum.expand(self.batch_shape)

    def log_prob(self, edges: Tensor) -> Tensor:
        if self._validate_args:
            self.validate_edges(edges)
        ranks = _rank(*edges.long().unbind(-1))  # (*sample, *batch, V - 1)
        shape = ranks.shape[: ranks.dim() - 1 - len(self.batch_shape)] + self.edge_logits.shape
        logits = self.edge_logits.expand(shape)
        ranks = ranks.expand(shape[:-1] + ranks.shape[-1:])
        return logits.gather(-1, ranks).sum(-1) - self.log_partition_function

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return exact draws; see :func:`sample_tree`."""
        shape = shape_of_samples(self, sample_shape)
        return sample_tree(self.edge_logits.expand(shape + self.edge_logits.shape))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all trees, which number ``V ** (V - 2)``.

        Raises:
            NotImplementedError: If there are more than 6 vertices.
        """
        if self.num_vertices > _LARGEST_ENUMERATED:
            raise NotImplementedError(
                f"SpanningTree: {self.num_vertices} vertices have too many trees; enumeration "
                f"stops at {_LARGEST_ENUMERATED} vertices"
            )
        trees = _all_trees(self.num_vertices).to(self.edge_logits.device)
        ones = (1,) * len(self.batch_shape)
        trees = trees.reshape(trees.shape[:1] + ones + self.event_shape)
        return trees.expand(trees.shape[:1] + self.shape()) if expand else trees

    @property
    def mode(self) -> Tensor:
        """The most probable tree, shape ``(*batch, V - 1, 2)``."""
        return find_best_tree(self.edge_logits)

    @property
    def edge_mean(self) -> Tensor:
        """Probability of each edge, a symmetric matrix ``(*batch, V, V)``.

        It is the gradient of :attr:`log_partition_function`.
        """
        probs = torch.func.grad(lambda logits: log_sum_of_trees(_adjacency(logits)).sum())(
            self.edge_logits
        )
        return _matrix(probs, 0.0)


class _Trees(constraints.Constraint):
    """Trees over a number of vertices, each as its sorted edges."""

    is_discrete = True
    event_dim = 2

    def __init__(self, num_vertices: int) -> None:
        self.num_vertices = num_vertices

    @property
    def upper_bound(self) -> Tensor:
        """Not a bound of counts, by which a hidden value could be replaced."""
        raise NotImplementedError("trees are no counts")

    def check(self, value: Tensor) -> Tensor:
        pairs, ordered = _are_pairs(value, self.num_vertices), _are_ordered(value)
        inside = value.clamp(0, self.num_vertices - 1)
        return pairs & ordered & _is_connected(inside, self.num_vertices)


def make_complete_graph(num_vertices: int) -> Tensor:
    """Return the edges of the complete graph in colexicographic order.

    Returns:
        Shape ``(2, num_vertices * (num_vertices - 1) // 2)``: the smaller vertex of each edge,
        then the larger.

    Example:
        >>> i, j = make_complete_graph(3)
        >>> i.tolist(), j.tolist()
        ([0, 0, 1], [1, 2, 2])
    """
    vertices = torch.arange(num_vertices)
    larger, smaller = (vertices.unsqueeze(-1) > vertices).nonzero().unbind(-1)
    return torch.stack([smaller, larger])


def sample_tree(
    edge_logits: Tensor,
    init_edges: Tensor | None = None,
    mcmc_steps: int = 1,
    backend: str = "python",
) -> Tensor:
    """Return an exact draw of a spanning tree.

    Vertices are eliminated one after the other, and put back into a random tree of those that
    remain; this takes ``O(V^3)``, however unequal the weights. The graph of a Markov chain allows
    the same: Wilson (1996) draws trees from walks, and here the walks are censored.

    Args:
        edge_logits: Shape ``(*batch, V * (V - 1) // 2)``.
        init_edges: Not needed; accepted with the next two for programs that choose a sampler.
        mcmc_steps: Not needed.
        backend: Not needed.
    Returns:
        Edges, shape ``(*batch, V - 1, 2)``.
    """
    with torch.no_grad():
        return _sorted_edges(sample_parents(eliminations(_adjacency(edge_logits))))


def find_best_tree(edge_logits: Tensor, backend: str = "python") -> Tensor:
    """Return the spanning tree of the largest weight, by the algorithm of Prim (1957).

    Args:
        edge_logits: Shape ``(*batch, V * (V - 1) // 2)``.
        backend: Accepted for programs that choose one; there is one.
    Returns:
        Edges, shape ``(*batch, V - 1, 2)``.
    """
    weights = _adjacency(edge_logits.detach())
    vertices = torch.arange(weights.shape[-1], device=weights.device)
    outside = (vertices > 0).expand(weights.shape[:-1])
    parent, best = torch.zeros_like(outside, dtype=torch.long), weights[..., 0, :]
    for _ in vertices[1:]:
        new = torch.where(outside, best, -torch.inf).argmax(-1, keepdim=True)
        outside = outside & (vertices != new)
        row = weights.gather(-2, new.unsqueeze(-1).expand_as(weights[..., :1, :])).squeeze(-2)
        closer = outside & (row > best)
        parent, best = torch.where(closer, new, parent), torch.where(closer, row, best)
    return _sorted_edges(parent)


def _num_vertices(edge_logits: Tensor) -> int:
    """Return ``V`` for ``V * (V - 1) // 2`` logits."""
    num_edges = edge_logits.shape[-1] if edge_logits.dim() else 0
    num_vertices = (1 + math.isqrt(1 + 8 * num_edges)) // 2
    if num_edges < 1 or num_vertices * (num_vertices - 1) // 2 != num_edges:
        raise ShapeError(
            f"SpanningTree: edge_logits have shape {tuple(edge_logits.shape)}, expected "
            "(*batch, V * (V - 1) // 2) for some number V >= 2 of vertices"
        )
    return num_vertices


def _rank(i: Tensor, j: Tensor) -> Tensor:
    """Return the place of edge ``(i, j)``, ``i < j``, in the complete graph."""
    return i + j * (j - 1) // 2


def _matrix(edges: Tensor, diagonal: float) -> Tensor:
    """Return one number for each edge as a symmetric matrix, ``(*batch, V, V)``."""
    vertices = torch.arange(_num_vertices(edges), device=edges.device)
    larger = torch.maximum(vertices, vertices.unsqueeze(-1))
    smaller = torch.minimum(vertices, vertices.unsqueeze(-1))
    is_edge = larger > smaller
    ranks = torch.where(is_edge, _rank(smaller, larger), 0)
    return torch.where(is_edge, edges[..., ranks], diagonal)


def _adjacency(edge_logits: Tensor) -> Tensor:
    """Return a symmetric matrix of log weights, with finite ones for absent edges.

    These are so small that no tree uses them where it can do without; minus infinity would make
    slopes nan.
    """
    return _matrix(edge_logits.clamp(min=-1e6), -1e6)


def _sorted_edges(parent: Tensor) -> Tensor:
    """Return the edges from each vertex but 0 to its parent, sorted."""
    child = torch.arange(1, parent.shape[-1], device=parent.device)
    smaller, larger = torch.minimum(child, parent[..., 1:]), torch.maximum(child, parent[..., 1:])
    order = _rank(smaller, larger).argsort(-1)
    return torch.stack([smaller.gather(-1, order), larger.gather(-1, order)], -1)


def _are_pairs(edges: Tensor, num_vertices: int) -> Tensor:
    """Return whether all edges are pairs ``i < j`` of vertices."""
    i, j = edges.unbind(-1)
    return ((i >= 0) & (i < j) & (j < num_vertices)).all(-1)


def _are_ordered(edges: Tensor) -> Tensor:
    """Return whether edges are in colexicographic order, none twice."""
    return (_rank(*edges.unbind(-1)).diff(dim=-1) > 0).all(-1)


def _is_connected(edges: Tensor, num_vertices: int) -> Tensor:
    """Return whether edges join all vertices, by repeated squaring of the adjacency matrix."""
    ends = torch.nn.functional.one_hot(edges.long(), num_vertices)
    one_hot = ends.sum(-2).double()  # (*, edge, V)
    reachable = one_hot.mT @ one_hot
    for _ in range(num_vertices.bit_length()):
        reachable = (reachable @ reachable).clamp(max=1.0)
    return (reachable > 0).all(-1).all(-1)


def _all_trees(num_vertices: int) -> Tensor:
    """Return every tree, one for each code of Pruefer (1918), shape ``(n, V - 1, 2)``."""
    codes = itertools.product(range(num_vertices), repeat=num_vertices - 2)
    trees = [_decode(code) for code in codes]
    return torch.tensor(sorted(trees))


def _decode(code: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sorted edges of the tree with a code: leaves leave it, smallest first."""
    vertices = set(range(len(code) + 2))
    edges = []
    for k, neighbor in enumerate(code):
        leaf = min(vertices - set(code[k:]))
        vertices.remove(leaf)
        edges.append((min(leaf, neighbor), max(leaf, neighbor)))
    i, j = sorted(vertices)
    return sorted([*edges, (i, j)], key=lambda edge: (edge[1], edge[0]))
