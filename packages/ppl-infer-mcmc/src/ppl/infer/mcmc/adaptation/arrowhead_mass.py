"""A mass matrix, dense in some sites and diagonal elsewhere, that is learnt from gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix, Shapes, Values, Vectors, flat
from ppl.infer.mcmc.target.blocks import Names
from ppl.ops.arrowhead import SymmArrowhead, sqrt, triu_gram, triu_inverse, triu_matvecmul
from ppl.ops.welford import WelfordArrowheadCovariance


class ArrowheadMassMatrix(MassMatrix):
    """A mass matrix with the rows and columns of some sites, the head, and a diagonal elsewhere.

    The mass is the covariance of the gradients of the potential energy, which for a normal target
    is its precision.  All sites are one block; those that are configured with a shape
    ``(n, n)`` are the head, in front.

    Args:
        init_scale: The multiple of the unit matrix that the mass begins with.

    Example:
        >>> mass = ArrowheadMassMatrix()
        >>> mass.configure({("x",): (1, 1), ("y", "z"): (2,)})
        >>> mass.inverse_mass_matrix["x", "y", "z"]
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """

    def _begin(self, shapes: Shapes, options: Mapping[str, Any]) -> None:
        blocks = sorted(shapes.items(), key=lambda block: -len(block[1]))
        self._names = tuple(name for names, _ in blocks for name in names)
        head = sum(shape[0] for _, shape in blocks if len(shape) == 2)
        unit = self.init_scale * torch.ones(sum(shape[0] for _, shape in blocks), **options)
        self.mass_matrix = {self._names: SymmArrowhead(unit.diag()[:head], unit[head:])}

    def _learn(self, z: Values, z_grad: Values) -> None:
        self._moments.update(flat(z_grad, self._names))

    def _renew(self) -> None:
        self.mass_matrix = {self._names: SymmArrowhead(*self._moments.get_covariance())}

    @property
    def mass_matrix(self) -> dict[Names, SymmArrowhead]:
        """The mass of all sites.

        One that is not positive definite (without the correlations that are left out, a covariance
        may not be) is reduced to its diagonal.
        """
        return {self._names: self._mass}

    @mass_matrix.setter
    def mass_matrix(self, mass: Mapping[Names, SymmArrowhead]) -> None:
        self._mass = mass[self._names]
        if sqrt(self._mass).top.isnan().any():
            variance = self._mass.top.diagonal()
            self._mass = self._mass._replace(top=torch.zeros_like(self._mass.top))
            self._mass.top.diagonal().copy_(variance)
        self._root = sqrt(self._mass)
        self._inverse_root = triu_inverse(self._root)
        self._moments = WelfordArrowheadCovariance(len(self._mass.top))

    @property
    def inverse_mass_matrix(self) -> Vectors:
        """The inverse mass of all sites, ``(n, n)``; ``(n,)`` where there is no head."""
        return {self._names: triu_gram(self._inverse_root)}

    def _velocity(self, names: Names, momentum: Tensor) -> Tensor:
        return triu_matvecmul(self._inverse_root, self._normal(names, momentum), transpose=True)

    def _momentum(self, names: Names, normal: Tensor) -> Tensor:
        return triu_matvecmul(self._root, normal)

    def _normal(self, names: Names, momentum: Tensor) -> Tensor:
        return triu_matvecmul(self._inverse_root, momentum)
