"""The prior of each latent site, moved and scaled."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import biject_to

import ppl.distributions as dist
from ppl.distributions import transforms

from .auto_normal_messenger import AutoNormalMessenger
from .constrained import unconstrained_event_dim
from .guide import Site


class AutoRegressiveMessenger(AutoNormalMessenger):
    """The prior of each latent site, after an affine map of its unconstrained scale.

    The priors depend on the draws of earlier sites, so a series stays one: ``x[t]`` follows
    ``x[t - 1]`` as in the model, with a learned shift and scale.

    Args:
        model: The model.
        init_loc_fn: A strategy for the values that the first map leaves as they are.
        init_scale: The first scale of each unconstrained component.
        amortized_plates: The names of plates whose elements share parameters.

    Raises:
        SupportError: If ``init_scale`` is not positive and finite.
        SiteError: In the first call, if a latent site is discrete.

    Example:
        >>> from ppl.primitives import sample
        >>> guide = AutoRegressiveMessenger(lambda: sample("x", dist.LogNormal(0.0, 1.0)))
        >>> bool(guide()["x"] > 0)
        True
    """

    def _first_loc(self, name: str, site: Site) -> Tensor:
        return (1 - self._init_scale) * super()._first_loc(name, site)

    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the prior, moved and scaled on the unconstrained scale."""
        if not self._was_latent(name):
            return prior
        transform = biject_to(prior.support)
        loc, scale = self._loc_scale_at(name, prior)
        affine = transforms.AffineTransform(
            loc, scale, event_dim=unconstrained_event_dim({"fn": prior})
        )
        return dist.TransformedDistribution(prior, [transform.inv, affine, transform])

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Refuse: the medians of priors are not known.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{type(self).__name__} does not know the medians of priors")
