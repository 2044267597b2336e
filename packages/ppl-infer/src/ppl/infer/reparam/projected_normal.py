"""Directions as normal vectors."""

from __future__ import annotations

from torch.nn.functional import normalize

from ppl.distributions import Normal, ProjectedNormal

from .layers import peel_to
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class ProjectedNormalReparam(Reparam):
    """Writes a latent ``ProjectedNormal`` as the direction of a normal vector ``x_normal``.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        LatentOnlyError: For an observed site.

    Example:
        >>> import torch
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", ProjectedNormal(torch.zeros(3)))
        >>> rewritten = poutine.reparam(model, config={"x": ProjectedNormalReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_normal']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        self._require_latent(msg, "leave it out of the config: ProjectedNormal has a density")
        layers = peel_to(self, msg, ProjectedNormal, "a ProjectedNormal")
        normal = layers.wrap(Normal(layers.core.concentration, 1.0).to_event(1))
        x = auxiliary(f"{msg['name']}_normal", normal, msg["value"])
        return layers.computed(normalize(x, dim=-1))
