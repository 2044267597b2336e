"""What densities over areas need to know of an adjacency matrix, computed once for each matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ppl.errors import ShapeError


class Spectrum(NamedTuple):
    """Eigenvalues, ascending, shape ``(n,)``, and eigenvectors, the columns of ``(n, n)``."""

    values: Tensor
    vectors: Tensor

    def to(self, like: Tensor) -> Spectrum:
        """Return the spectrum with the type and device of a tensor."""
        return Spectrum(self.values.to(like), self.vectors.to(like))


@dataclass(frozen=True)
class Neighborhood:
    """A graph with weight matrix ``W`` and diagonal degree matrix ``D``, double precision.

    Attributes:
        weights: The matrix ``W``, dense, shape ``(n, n)``.
        edges: Both ends of each edge, shape ``(2, edge)``.
        degree: The diagonal of ``D``, shape ``(n,)``.
    """

    weights: Tensor
    edges: Tensor
    degree: Tensor

    @cached_property
    def relative_spectrum(self) -> Spectrum:
        """Spectrum of ``D^-1/2 W D^-1/2``; its values are at most 1."""
        root = self.degree.sqrt()
        return Spectrum(*torch.linalg.eigh(self.weights / root / root.unsqueeze(-1)))

    @cached_property
    def laplacian_spectrum(self) -> Spectrum:
        """Spectrum of ``D - W``; its first value is 0 and belongs to the constant vector.

        Raises:
            ValueError: If the graph falls into parts, when more of them are 0.
        """
        spectrum = Spectrum(*torch.linalg.eigh(self.degree.diag() - self.weights))
        parts = int((spectrum.values < 1e-9 * self.degree.max()).sum())
        if parts > 1:
            raise ValueError(
                f"adj_matrix: expected a connected graph, got one of {parts} parts; give each part "
                "its own distribution"
            )
        return spectrum

    def roughness(self, x: Tensor, correlation: Tensor | float = 1.0) -> Tensor:
        """Return ``x^T (D - correlation W) x`` for ``x`` of shape ``(*batch, n)``.

        The cost is that of the edges; with correlation 1 it is the weighted sum of the squared
        differences along them.
        """
        source, target = self.edges.to(x.device)
        weight = self.weights[tuple(self.edges)].to(x)
        products = (x[..., source] * x[..., target] * weight).sum(-1)
        return (x.square() * self.degree.to(x)).sum(-1) - 2 * correlation * products


_KNOWN = WeakTensorKeyDictionary()  # a matrix and its version, to notice changes in place


def neighborhood(adj_matrix: Tensor) -> Neighborhood:
    """Return the graph of an adjacency matrix; a matrix that was seen before costs nothing.

    Args:
        adj_matrix: Symmetric with an empty diagonal, dense or sparse, shape ``(n, n)``.
    Raises:
        ShapeError: If it is not one square matrix.
        ValueError: If it is not symmetric, has loops, or an area has no neighbour.
    """
    version, graph = _KNOWN.get(adj_matrix, (None, None))
    if graph is None or version != adj_matrix._version:
        graph = _analyze(adj_matrix)
        _KNOWN[adj_matrix] = (adj_matrix._version, graph)
    known: Neighborhood = graph
    return known


def _analyze(adj_matrix: Tensor) -> Neighborhood:
    if adj_matrix.dim() != 2 or adj_matrix.shape[0] != adj_matrix.shape[1]:
        raise ShapeError(
            f"adj_matrix: expected one square matrix, got shape {tuple(adj_matrix.shape)}"
        )
    dense = adj_matrix.to_dense() if adj_matrix.layout != torch.strided else adj_matrix
    weights = dense.detach().to("cpu", torch.float64)
    if not torch.equal(weights, weights.T) or weights.diagonal().any():
        raise ValueError("adj_matrix: expected a symmetric matrix with zeros on the diagonal")
    degree = weights.sum(-1)
    if (degree <= 0).any():
        lonely = (degree <= 0).nonzero().flatten().tolist()
        raise ValueError(
            f"adj_matrix: areas {lonely} have no neighbours; give them a distribution of their own"
        )
    return Neighborhood(weights, weights.triu().nonzero().T, degree)
