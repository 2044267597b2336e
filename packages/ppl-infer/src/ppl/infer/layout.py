"""How the values of named sites lie in one flat vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ppl.errors import MissingSiteError, ShapeError
from ppl.plugins import nearest


@dataclass(frozen=True)
class Layout:
    """The order, shapes and dtypes of sites in a flat vector.

    >>> layout = Layout.of({"b": torch.zeros(2), "a": torch.tensor(1.0)})
    >>> layout.pack({"a": torch.tensor(1.0), "b": torch.tensor([2.0, 3.0])})
    tensor([1., 2., 3.])
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def of(cls, values: Mapping[str, Tensor], is_sorted: bool = True) -> Layout:
        """Return the layout of such values, sorted by name, or in the order in which they come."""
        names = tuple(sorted(values) if is_sorted else values)
        shapes = tuple(values[name].shape for name in names)
        return cls(names, shapes, tuple(values[name].dtype for name in names))

    @property
    def sizes(self) -> list[int]:
        """How many numbers each site has."""
        return [shape.numel() for shape in self.shapes]

    @property
    def dim(self) -> int:
        """The length of the vector."""
        return sum(self.sizes)

    def places(self, names: Sequence[str]) -> Tensor:
        """Return where in the vector the numbers of these sites are, site after site.

        Raises:
            MissingSiteError: If a site is unknown.
        """
        unknown = sorted(set(names) - set(self.names))
        if unknown:
            raise MissingSiteError(
                f"the sites {unknown} are not among the latent sites that are sampled, "
                f"{list(self.names)}"
            )
        parts = dict(zip(self.names, torch.arange(self.dim).split(self.sizes), strict=True))
        return torch.cat([torch.arange(0), *(parts[name] for name in names)])

    def pack(self, values: Mapping[str, Tensor], batch_dim: int = 0) -> Tensor:
        """Return the values as vectors, shape ``(*batch, dim)``, in the widest dtype of the sites.

        Args:
            values: By site, each of shape ``(*batch, *site)``.
            batch_dim: The number of batch dimensions.
        """
        if not self.names:
            return torch.zeros(0)
        dtype = self.dtypes[0]
        for other in self.dtypes:
            dtype = torch.promote_types(dtype, other)
        flat = [values[n].reshape(values[n].shape[:batch_dim] + (-1,)) for n in self.names]
        return torch.cat([part.to(dtype) for part in flat], -1)

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the values by site, shape ``(*batch, *site)``, of vectors ``(*batch, dim)``."""
        batch = flat.shape[:-1]
        parts = flat.split(self.sizes, -1)
        return {
            name: part.reshape(batch + shape).to(dtype)
            for name, part, shape, dtype in zip(
                self.names, parts, self.shapes, self.dtypes, strict=True
            )
        }

    def check(self, values: Mapping[str, Tensor], batch: tuple[int, ...] = ()) -> None:
        """Check that `values` has this layout, each site with shape ``(*batch, *site)``.

        Raises:
            MissingSiteError: If a site is missing or unknown.
            ShapeError: If a value has another shape.
        """
        if set(values) != set(self.names):
            hints = [
                nearest(name, list(self.names)) for name in sorted(set(values) - {*self.names})
            ]
            raise MissingSiteError(
                f"initial_params has the sites {sorted(values)}, but the model's latent sites are "
                f"{list(self.names)}; give an unconstrained value for each of them{''.join(hints)}"
            )
        for name, shape in zip(self.names, self.shapes, strict=True):
            expected = (*batch, *shape)
            if tuple(values[name].shape) != expected:
                raise ShapeError(
                    f"initial_params[{name!r}] has shape {tuple(values[name].shape)}, but the "
                    f"unconstrained site needs {expected}"
                )
