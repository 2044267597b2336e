"""Transformed distributions as functions of their base."""

from __future__ import annotations

import torch

from ppl.distribution.util import sum_rightmost

from .layers import peel_to
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class TransformReparam(Reparam):
    """Writes a site with a ``TransformedDistribution`` as the image of ``x_base``.

    Useful for transforms that bend the space, where the posterior has a simple shape in that of the
    base distribution.

    An observed site stays observed; its density is the same.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.

    Example:
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", dist.LogNormal(torch.tensor(0.0), 1.0))
        >>> rewritten = poutine.reparam(model, config={"x": TransformReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_base']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        family = torch.distributions.TransformedDistribution
        layers, value = peel_to(self, msg, family, "a TransformedDistribution"), msg["value"]
        core = layers.core
        base = core.base_dist
        transform = torch.distributions.ComposeTransform(core.transforms)
        if value is not None and not transform.bijective:
            self._require_latent(msg, "its transform has no inverse; leave it out of the config")
            value = None
        if value is not None:
            value = transform.inv(value)
        x = auxiliary(f"{msg['name']}_base", layers.wrap(base), value, msg["is_observed"])
        if not msg["is_observed"]:
            for part in core.transforms:
                x = part(x)
            return layers.computed(x)
        log_det = transform.log_abs_det_jacobian(value, msg["value"])
        log_det = sum_rightmost(log_det, base.event_dim - transform.domain.event_dim)
        return layers.computed(msg["value"], -log_det)
