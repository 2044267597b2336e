"""Sites sampled at points of the unconstrained scale, with the density of the image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.distribution.util import sum_rightmost
from ppl.primitives import sample

Site = dict[str, Any]


def unconstrained_event_dim(site: Site) -> int:
    """Return the number of event dimensions of a site on the unconstrained scale."""
    transform = biject_to(site["fn"].support)
    return int(
        site["fn"].event_dim + transform.inv.codomain.event_dim - transform.inv.domain.event_dim
    )


def beside_plates(outer: torch.Size, site: Site) -> torch.Size:
    """Return the batch shape of a vector without the dimensions that the plates of a site fill.

    Args:
        outer: The batch shape of a vector of noise, in the plates around the guide, of particles
            say; it has size 1 in the plates of the sites.
        site: A site of the prototype.
    """
    for _ in site["fn"].batch_shape:
        outer = outer[:-1] if outer and outer[-1] == 1 else outer
    return outer


def delta_at(site: Site, free: Tensor, log_density: Tensor | float = 0.0) -> Delta:
    """Return a point mass at the image of ``free``, with the density of the image.

    Args:
        site: A site of the prototype.
        free: A value on the unconstrained scale, shape ``(*batch, *unconstrained_event)``.
        log_density: The log density of ``free``; 0 where another site counts it.
    """
    event_dim = site["fn"].event_dim
    transform = biject_to(site["fn"].support)
    value = transform(free)
    density: Any = log_density
    if poutine.get_mask() is not False:
        log_jacobian = transform.inv.log_abs_det_jacobian(value, free)
        extra = log_jacobian.dim() - value.dim() + event_dim
        density = log_density + sum_rightmost(log_jacobian, extra)
    return Delta(value, log_density=density, event_dim=event_dim)


def sample_at(name: str, site: Site, free: Tensor) -> Tensor:
    """Sample a site at the image of ``free``, which is a site of its own, and return the image."""
    value: Tensor = sample(name, delta_at(site, free))
    return value
