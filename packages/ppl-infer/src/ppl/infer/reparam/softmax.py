"""Relaxed categories as Gumbel noise."""

from __future__ import annotations

import torch

from ppl.distributions import (
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
    Uniform,
)

from .layers import peel_to
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class GumbelSoftmaxReparam(Reparam):
    """Writes a latent ``RelaxedOneHotCategorical`` as a function of uniform noise ``x_uniform``.

    It is the softmax of ``(logits + Gumbel noise) / temperature`` (Jang, Gu and Poole 2017,
    "Categorical reparameterization with Gumbel-softmax", equation 2; Maddison, Mnih and Teh 2017).

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        LatentOnlyError: For an observed site.

    Example:
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     fn = RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3))
        ...     return sample("x", fn)
        >>> rewritten = poutine.reparam(model, config={"x": GumbelSoftmaxReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_uniform']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        self._require_latent(msg, "leave it out of the config: the distribution has a density")
        layers = peel_to(self, msg, RelaxedOneHotCategorical, "a RelaxedOneHotCategorical")
        core = layers.core
        zeros = torch.zeros_like(core.logits)
        noise = layers.wrap(Uniform(zeros, zeros + 1).to_event(1))
        u = auxiliary(f"{msg['name']}_uniform", noise)
        limits = torch.finfo(u.dtype)
        gumbel = -(-u.clamp(min=limits.tiny, max=1 - limits.eps).log()).log()
        x = ((core.logits + gumbel) / core.temperature).softmax(-1)
        if isinstance(core, RelaxedOneHotCategoricalStraightThrough):
            chosen = x.argmax(-1, keepdim=True)
            x = torch.zeros_like(x).scatter(-1, chosen, 1.0) + (x - x.detach())
        return layers.computed(x)
