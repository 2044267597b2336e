"""The estimator that takes Kullback-Leibler divergences in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distribution.util import is_identically_zero, scale_and_mask
from ppl.distributions import kl_divergence
from ppl.errors import warn
from ppl.infer.util import check_fully_reparametrized, is_same
from ppl.validation import is_validation_enabled

from .trace_elbo import Trace_ELBO

Site = dict[str, Any]


class TraceMeanField_ELBO(Trace_ELBO):  # the public name is the field's
    """An estimator of ``-ELBO`` with the divergence of each latent site in closed form.

    What a site of the guide adds to the ELBO, given the sites before it, is
    ``-KL(q(z | before) || p(z | before))`` on average over it (Kingma & Welling 2014, appendix B).
    Where this is known, and the guide draws the sites in the order of the model, it takes the place
    of ``log p - log q`` at the draw, and with it goes the noise of that term; elsewhere the term is
    that of :class:`Trace_ELBO`. All sites of the guide must be reparametrized.

    Raises:
        SiteError: If a site of the guide is not; a NotImplementedError too.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(0.0, 1.0))
        >>> def guide():
        ...     sample("z", dist.Normal(1.0, 1.0))
        >>> TraceMeanField_ELBO().loss(model, guide)  # without noise
        0.5
    """

    def _elbo(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor | float:
        return self._terms(model_trace, guide_trace)

    def _surrogate_loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        return -torch.as_tensor(self._terms(model_trace, guide_trace))

    def _terms(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor | float:
        """Return the ELBO, whose gradient by autograd estimates its gradient."""
        for name in guide_trace.stochastic_nodes:
            check_fully_reparametrized(guide_trace.nodes[name])
        if is_validation_enabled():
            _warn_of_another_order(model_trace, guide_trace)
        elbo: Tensor | float = 0.0
        latent = set(guide_trace.stochastic_nodes)
        for name in model_trace.stochastic_nodes + model_trace.observation_nodes:
            site = model_trace.nodes[name]
            kl = _divergence(guide_trace.nodes[name], site) if name in latent else None
            if kl is None:
                elbo = elbo + site["log_prob_sum"]
            else:
                latent.discard(name)
                elbo = elbo - kl
        for name in sorted(latent):  # drawn, and no divergence known
            entropy_term = guide_trace.nodes[name]["score_parts"].entropy_term
            if not is_identically_zero(entropy_term):
                elbo = elbo - entropy_term.sum()
        return elbo


def _divergence(guide_site: Site, model_site: Site) -> Tensor | None:
    """Return the scaled and masked divergence of a site, summed; None if it is not known."""
    if not all(is_same(guide_site[key], model_site[key]) for key in ("scale", "mask")):
        return None
    try:
        kl = kl_divergence(guide_site["fn"], model_site["fn"])
    except NotImplementedError:
        return None
    kl = kl.expand(torch.broadcast_shapes(kl.shape, model_site["log_prob"].shape))
    return scale_and_mask(kl, guide_site["scale"], guide_site["mask"]).sum()


def _warn_of_another_order(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> None:
    """Warn if a divergence is taken given sites that the guide has not drawn yet."""
    shared = [n for n in model_trace.stochastic_nodes if n in guide_trace.nodes]
    drawn = [name for name in guide_trace.stochastic_nodes if name in set(shared)]
    late = next((pair for pair in zip(shared, drawn, strict=False) if pair[0] != pair[1]), None)
    if late is not None:
        warn(
            f"the guide draws {late[1]!r} before {late[0]!r}, the model the other way round: the "
            "divergences of TraceMeanField_ELBO hold for sites that do not depend on each other in "
            "the guide, or are drawn in the order of the model; change the order, or use Trace_ELBO"
        )
