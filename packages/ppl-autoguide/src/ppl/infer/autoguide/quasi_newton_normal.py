"""Normals whose covariance is a diagonal, changed in a few directions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distributions import TorchDistribution, constraints


class QuasiNewtonNormal(TorchDistribution):
    """A normal whose covariance has the form of the inverse Hessian of a quasi-Newton method.

    A draw is ``loc + scale * (noise + basis @ (root - 1) @ basis.T @ noise)``; the cost is
    ``dim * rank`` (Zhang et al. 2022, "Pathfinder", algorithm 4).

    Args:
        loc: The mean, shape ``(*batch, dim)``.
        scale: Positive, shape ``(*batch, dim)``.
        basis: Orthonormal columns, shape ``(*batch, dim, rank)``.
        root: A lower triangle with positive diagonal, shape ``(*batch, rank, rank)``.

    Example:
        >>> basis = torch.tensor([[0.6], [0.8]])
        >>> normal = QuasiNewtonNormal(torch.zeros(2), torch.ones(2), basis, torch.tensor([[2.0]]))
        >>> normal.covariance_matrix
        tensor([[2.0800, 1.4400],
                [1.4400, 2.9200]])
    """

    arg_constraints = {"loc": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        basis: Tensor,
        root: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        self.loc: Tensor
        self.scale: Tensor
        self.basis: Tensor
        self.root: Tensor
        self.loc, self.scale, self.basis, self.root = loc, scale, basis, root
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> QuasiNewtonNormal:
        """Return the distribution with another batch shape."""
        batch, event = torch.Size(batch_shape), (1, 1, 2, 2)
        loc, scale, basis, root = (
            x.expand(batch + x.shape[x.dim() - dim :])
            for x, dim in zip(self.parts(), event, strict=True)
        )
        expanded = QuasiNewtonNormal(loc, scale, basis, root, validate_args=False)
        expanded._validate_args = self._validate_args
        return expanded

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the arguments that it was made with."""
        return self.loc, self.scale, self.basis, self.root

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance, shape ``(*batch, dim, dim)``."""
        eye = torch.eye(self.loc.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        rows = self._transposed(eye.expand(*self.batch_shape, *eye.shape))  # of the square root
        return rows @ rows.mT

    @property
    def variance(self) -> Tensor:
        """The variances, shape ``(*batch, dim)``."""
        change = self.root @ self.root.mT - torch.eye(self.root.shape[-1]).to(self.root)
        return self.scale.square() * (1 + ((self.basis @ change) * self.basis).sum(-1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return draws, shape ``(*sample_shape, *batch, dim)``."""
        shape = self._extended_shape(sample_shape)
        return self.transport(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))

    def transport(self, noise: Tensor) -> Tensor:
        """Return the image of standard normal noise, shape ``(*sample_shape, *batch, dim)``."""
        return self.loc + self.scale * _changed(noise, self.basis, self.root)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape of the batch, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        noise = self._whitened((value - self.loc) / self.scale)
        half = 0.5 * noise.square().sum(-1) + 0.5 * math.log(2 * math.pi) * noise.shape[-1]
        return -half - self._log_det()

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return self._log_det() + 0.5 * (1 + math.log(2 * math.pi)) * self.loc.shape[-1]

    def covary(self, vector: Tensor) -> Tensor:
        """Return the product of the covariance and vectors ``(*batch, dim)``."""
        inner = _changed(self.scale * vector, self.basis, self.root.mT)
        return self.scale * _changed(inner, self.basis, self.root)

    def _transposed(self, rows: Tensor) -> Tensor:
        """Return the products of rows, ``(*batch, rows, dim)``, and the root of the covariance."""
        inner = (rows * self.scale.unsqueeze(-2)) @ self.basis
        change = self.root - torch.eye(self.root.shape[-1]).to(self.root)
        return rows * self.scale.unsqueeze(-2) + inner @ change @ self.basis.mT

    def _whitened(self, x: Tensor) -> Tensor:
        column = self.basis.mT @ x.unsqueeze(-1)
        solved: Tensor = torch.linalg.solve_triangular(self.root, column, upper=False)
        return x + (self.basis @ (solved - column)).squeeze(-1)

    def _log_det(self) -> Tensor:
        diagonal = self.root.diagonal(dim1=-2, dim2=-1)
        return self.scale.log().sum(-1) + diagonal.log().sum(-1)


def _changed(x: Tensor, basis: Tensor, root: Tensor) -> Tensor:
    """Return vectors, of which the parts in the basis went through ``root``."""
    inside = (basis.mT @ x.unsqueeze(-1)).squeeze(-1)
    through = (root @ inside.unsqueeze(-1)).squeeze(-1)
    return x + (basis @ (through - inside).unsqueeze(-1)).squeeze(-1)
