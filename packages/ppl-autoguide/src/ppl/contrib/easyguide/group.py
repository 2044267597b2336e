"""Several latent sites of a model, sampled as one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from ppl.errors import PlateError, ShapeError
from ppl.infer.autoguide.constrained import sample_at, unconstrained_event_dim
from ppl.infer.autoguide.guide import Site, full_size
from ppl.primitives import sample, subsample


class Group:
    """Latent sites of a model as parts of one vector, on the unconstrained scale.

    The plates that all sites are in stay plates of the vector; the elements of other plates are
    components of it.

    Args:
        guide: The guide.
        sites: The sites of the prototype, by name.

    Attributes:
        prototype_sites: The sites.
        event_shape: The shape of the vector, with one dimension.

    Raises:
        PlateError: If a plate that all sites share is not to the left of the others.
    """

    def __init__(self, guide: Any, sites: dict[str, Site]) -> None:
        self.guide: Any = guide
        self.prototype_sites: list[Site] = list(sites.values())
        self._sites = sites
        stacks = [{f.name for f in s["cond_indep_stack"]} for s in sites.values()]
        self.plates: set[str] = set.intersection(*stacks)
        self._shapes = {name: self._own_shape(name, site) for name, site in sites.items()}
        total = sum(shape.numel() for shape in self._shapes.values())
        self.event_shape: torch.Size = torch.Size([total])

    def _own_shape(self, name: str, site: Site) -> torch.Size:
        """The unconstrained shape of a site in one element of the plates that all share."""
        event_dim = unconstrained_event_dim(site)
        free = biject_to(site["fn"].support).inv(site["value"].detach())
        shape = full_size(free, site, event_dim).shape
        own = [f for f in site["cond_indep_stack"] if f.name not in self.plates]
        depth = max([-f.dim for f in own], default=0)
        for frame in site["cond_indep_stack"]:
            if frame.name in self.plates and -frame.dim <= depth:
                raise PlateError(
                    f"site {name!r}: plate {frame.name!r}, which all sites of the group are in, "
                    f"has dim {frame.dim}, to the right of a plate that only some are in; make "
                    "groups of sites with the same plates",
                    site=name,
                )
        return shape[len(shape) - depth - event_dim :]

    def sample(
        self, guide_name: str, fn: Any, infer: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sample the vector, and the sites at its parts.

        Args:
            guide_name: A name for the auxiliary site of the vector.
            fn: Its distribution, with ``event_shape`` the group's.
            infer: The inference options of that site.

        Returns:
            The vector, and the constrained values of the sites by name.

        Raises:
            ShapeError: If the distribution has another event shape.
        """
        if fn.event_shape != self.event_shape:
            raise ShapeError(
                f"site {guide_name!r}: the distribution has event_shape {tuple(fn.event_shape)}, "
                f"but the sites {list(self._sites)} of the group need {tuple(self.event_shape)}; "
                "make parameters of shape group.event_shape, and call .to_event(1)"
            )
        vector: Tensor = sample(guide_name, fn, infer={"is_auxiliary": True, **(infer or {})})
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = dict(zip(self._sites, vector.split(sizes, -1), strict=True))
        return vector, {name: self._sample_site(name, part) for name, part in parts.items()}

    def _sample_site(self, name: str, part: Tensor) -> Tensor:
        site, shape = self._sites[name], self._shapes[name]
        event_dim = unconstrained_event_dim(site)
        outer = part.shape[:-1]
        for _ in range(len(shape) - event_dim):  # where the plates of the site alone are
            outer = outer[:-1] if outer and outer[-1] == 1 else outer
        free = part.reshape(outer + shape)
        own = [f for f in site["cond_indep_stack"] if f.name not in self.plates]
        if own:  # the vector has all elements of these
            with self.guide._around({"cond_indep_stack": own}):
                free = subsample(free, event_dim)
                return sample_at(name, site, free)
        return sample_at(name, site, free)

    def map_estimate(self) -> dict[str, Tensor]:
        """Sample all sites at points that are learned, and return these by name."""
        return {name: self.guide.map_estimate(name) for name in self._sites}
