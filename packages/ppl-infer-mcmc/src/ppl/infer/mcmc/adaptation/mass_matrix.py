"""A mass matrix that is learnt from the draws of one chain, by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ppl.errors import MissingSiteError, ShapeError
from ppl.infer.mcmc.target.blocks import Names, check_blocks

Vectors = dict[Names, Tensor]
Values = Mapping[str, Tensor]
Shapes = Mapping[Names, tuple[int, ...]]


class MassMatrix(ABC):
    """A mass matrix over blocks of sites.

    Positions, momenta and velocities are dicts by site, of the sites' shapes.  A block is known by
    the tuple of its sites' names; its numbers are those of its sites, one after another.

    Args:
        init_scale: The multiple of the unit matrix that it begins with.
    """

    def __init__(self, init_scale: float = 1.0) -> None:
        self.init_scale = init_scale
        self.configure({})

    def configure(
        self,
        mass_matrix_shape: Shapes,
        adapt_mass_matrix: bool = True,
        options: Mapping[str, Any] = {},
    ) -> None:
        """Begin anew with a multiple of the unit matrix.

        Args:
            mass_matrix_shape: The shape of each block, ``(n, n)``, or ``(n,)`` for a diagonal one.
            adapt_mass_matrix: Whether it learns.
            options: Dtype and device of the matrix.

        Raises:
            ShapeError: If a shape is another one.
            SiteError: If a site is in two blocks.
        """
        check_shapes(mass_matrix_shape)
        self._adapts = adapt_mass_matrix
        self._begin(mass_matrix_shape, options)

    def update(self, z: Values, z_grad: Values) -> None:
        """Learn from a position and the gradient of the potential energy there."""
        if self._adapts:
            self._learn(z, z_grad)

    def end_adaptation(self) -> None:
        """Use what was learnt since the last time, from two positions or more."""
        if self._adapts:
            self._renew()

    @abstractmethod
    def _begin(self, shapes: Shapes, options: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def _learn(self, z: Values, z_grad: Values) -> None: ...

    @abstractmethod
    def _renew(self) -> None: ...

    @property
    @abstractmethod
    def inverse_mass_matrix(self) -> Vectors:
        """The inverse mass of each block, ``(n, n)`` or ``(n,)``."""

    @property
    def mass_matrix_size(self) -> dict[Names, int]:
        """The number of rows of each block."""
        return {names: len(inverse) for names, inverse in self.inverse_mass_matrix.items()}

    def kinetic_grad(self, r: Values) -> dict[str, Tensor]:
        """Return the velocities of momenta: the gradient of the kinetic energy."""
        return by_site({n: self._velocity(n, flat(r, n)) for n in self.mass_matrix_size}, r)

    def scale(self, r_unscaled: Vectors, r_prototype: Values) -> dict[str, Tensor]:
        """Return momenta made of standard normals by block; the prototype has their shapes."""
        momenta = {n: self._momentum(n, r_unscaled[n]) for n in self.mass_matrix_size}
        return by_site(momenta, r_prototype)

    def unscale(self, r: Values) -> Vectors:
        """Return the standard normals by block that :meth:`scale` made these momenta of."""
        return {n: self._normal(n, flat(r, n)) for n in self.mass_matrix_size}

    @abstractmethod
    def _velocity(self, names: Names, momentum: Tensor) -> Tensor: ...

    @abstractmethod
    def _momentum(self, names: Names, normal: Tensor) -> Tensor: ...

    @abstractmethod
    def _normal(self, names: Names, momentum: Tensor) -> Tensor: ...


def check_shapes(shapes: Shapes) -> None:
    """Check the shapes of blocks."""
    check_blocks("mass_matrix_shape", shapes)
    for names, shape in shapes.items():
        if len(shape) not in (1, 2) or shape[0] != shape[-1]:
            raise ShapeError(f"mass_matrix_shape[{names}] is {shape}, but must be (n,) or (n, n)")


def flat(values: Values, names: Names) -> Tensor:
    """Return the numbers of some sites, one after another."""
    missing = sorted(set(names) - set(values))
    if missing:
        raise MissingSiteError(f"there are no values for the sites {missing} of the mass matrix")
    return torch.cat([values[name].reshape(-1) for name in names])


def by_site(vectors: Vectors, prototype: Values) -> dict[str, Tensor]:
    """Return the numbers by site, in the shapes of the prototype."""
    found: dict[str, Tensor] = {}
    for names, vector in vectors.items():
        parts = vector.split([prototype[name].numel() for name in names])
        found |= {n: x.reshape(prototype[n].shape) for n, x in zip(names, parts, strict=True)}
    return found
