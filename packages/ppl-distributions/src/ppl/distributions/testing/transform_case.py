"""A transform, the shape of its arguments, and how its Jacobian is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from .. import constraints

# The first diagonal below which the entries of a matrix determine the others.
_TRIANGLES = {
    type(constraints.corr_cholesky): -1,
    type(torch.distributions.constraints.corr_cholesky): -1,
    type(constraints.corr_matrix): -1,
    type(constraints.lower_cholesky): 0,
    type(constraints.positive_definite): 0,
    type(constraints.softplus_lower_cholesky): 0,
    type(constraints.unit_lower_cholesky): -1,
}


def free_entries(constraint: Any, value: Tensor) -> Tensor:
    """Return the entries of a value that determine the others, of a vector of any length.

    They are all but the last of a simplex, and a triangle of a structured matrix. Of other values
    all are taken: the Jacobian of an embedding is that of its volume.
    """
    if type(constraint) in _TRIANGLES:
        n, offset = value.shape[-1], _TRIANGLES[type(constraint)]
        row, column = torch.tril_indices(n, n, offset)
        return value[..., row, column].flatten()
    return (value[..., :-1] if constraint is constraints.simplex else value).flatten()


@dataclass(frozen=True)
class TransformCase:
    """A transform at given parameters, and its arguments.

    Attributes:
        name: Shown in test names.
        make: Builds the transform from ``params`` as keyword arguments.
        shape: Of an argument: the shape of an event of the domain, perhaps with batch dimensions.
        params: Tensors that broadcast with an argument; converted to float64.
        chart: Takes a transform and returns a bijection from unconstrained space onto its domain;
            ``biject_to(domain)`` by default.
        free_entries: Takes a constraint and one of its values and returns the entries by which
            ``log_abs_det_jacobian`` measures volume; see :func:`free_entries`.
    """

    name: str
    make: Callable[..., Any]
    shape: tuple[int, ...] = ()
    params: Mapping[str, Tensor] = field(default_factory=dict)
    chart: Callable[[Any], Any] = lambda transform: biject_to(transform.domain)
    free_entries: Callable[[Any, Tensor], Tensor] = free_entries

    def __str__(self) -> str:
        return self.name

    def transform(
        self, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
    ) -> Any:
        """Return the transform with parameters of another type or device."""
        return self.make(**{name: p.to(device, dtype) for name, p in self.params.items()})

    def coordinates(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return seeded unconstrained coordinates of arguments."""
        torch.manual_seed(0)
        shape = self.chart(self.transform()).inverse_shape(self.shape)
        return torch.randn((*sample_shape, *shape), dtype=torch.float64)

    def arguments(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return seeded arguments in the domain, shape ``(*sample_shape, *shape)``."""
        arguments: Tensor = self.chart(self.transform())(self.coordinates(sample_shape))
        return arguments
