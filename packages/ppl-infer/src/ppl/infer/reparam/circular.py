"""Angles on the real line."""

from __future__ import annotations

import math

import torch

from ppl.distributions import VonMises, constraints

from .flat import FlatWithDraws
from .layers import peel_to
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class CircularReparam(Reparam):
    """Writes a latent ``VonMises`` as the angle of a real number ``x_unwrapped``.

    The real line has no ends, so that no trajectory stops at the cut of the circle. The auxiliary
    site is flat, and its posterior has a period: summarize the angle, not it.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        LatentOnlyError: For an observed site.

    Example:
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", VonMises(torch.tensor(0.0), 2.0))
        >>> rewritten = poutine.reparam(model, config={"x": CircularReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_unwrapped']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        self._require_latent(msg, "leave it out of the config: VonMises has a density")
        fn = msg["fn"]
        layers = peel_to(self, msg, VonMises, "a VonMises")
        support = constraints.independent(constraints.real, fn.event_dim)
        flat = FlatWithDraws(fn.sample, support, fn.batch_shape, fn.event_shape)
        unwrapped = auxiliary(f"{msg['name']}_unwrapped", flat, msg["value"])
        angle = torch.remainder(unwrapped + math.pi, 2 * math.pi) - math.pi
        return layers.computed(angle, layers.core.log_prob(angle))
