"""Student's t as a mixture of normals."""

from __future__ import annotations

from ppl.distributions import Gamma, Normal, StudentT

from .layers import peel_to
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class StudentTReparam(Reparam):
    """Writes a ``StudentT`` as a normal, given its precision ``x_gamma``.

    It works for observed sites too. Together with :class:`LinearHMMReparam` it makes series with
    heavy tails conditionally Gaussian.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.

    Example:
        >>> import torch
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("x", StudentT(3.0, 0.0, 1.0), obs=torch.tensor(0.5))
        >>> rewritten = poutine.reparam(model, config={"x": StudentTReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_gamma']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        layers = peel_to(self, msg, StudentT, "a StudentT")
        core = layers.core
        half = core.df / 2
        gamma = auxiliary(f"{msg['name']}_gamma", layers.wrap(Gamma(half, half)))
        normal = layers.wrap(Normal(core.loc, core.scale * gamma.rsqrt()))
        return {"fn": normal, "value": msg["value"], "is_observed": msg["is_observed"]}
