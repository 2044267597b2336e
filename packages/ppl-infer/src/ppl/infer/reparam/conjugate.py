"""Priors updated by what a likelihood says, exactly or about."""

from __future__ import annotations

from typing import Any

from ppl.errors import ArgumentError

from .layers import Layers
from .reparam import Reparam, ReparamMessage, ReparamResult


class ConjugateReparam(Reparam):
    """Draws a latent site from its prior times a conjugate likelihood.

    What the two differ by is the density of the site, so that the model stays the same, and an
    exact likelihood leaves nothing for a guide to learn. For importance sampling and SVI; under
    MCMC the site would be drawn anew in each evaluation.

    Args:
        guide: A distribution in the site's value, such as ``Beta(1 + successes, 1 + failures)``
            for a ``Beta`` prior, or a function of the model's arguments that returns one. The
            prior must know how to multiply by it: ``conjugate_update``.
    Raises:
        LatentOnlyError: For an observed site.
        ArgumentError: If ``guide`` is a function, in a ``with`` statement: there are no arguments.
        UnsupportedDistributionError: For a prior that is not conjugate to the guide.

    Example:
        >>> import torch
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     chance = sample("chance", dist.Beta(1.0, 1.0))
        ...     sample("heads", dist.Binomial(10, chance), obs=torch.tensor(7.0))
        >>> updated = ConjugateReparam(dist.Beta(8.0, 4.0))
        >>> rewritten = poutine.reparam(model, config={"chance": updated})
        >>> round(poutine.trace(rewritten).get_trace().log_prob_sum().exp().item(), 4)  # 1 / 11
        0.0909
    """

    needs_arguments = True

    def __init__(self, guide: Any) -> None:
        self.guide = guide

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        self._require_latent(msg, "leave it out of the config")
        fn = msg["fn"]
        likelihood = self._likelihood(msg)
        try:
            updated, _ = fn.conjugate_update(likelihood)
        except (NotImplementedError, AssertionError, TypeError, AttributeError) as error:
            needed = f"a prior that is conjugate to {likelihood}"
            raise self._refuse(msg, fn, needed) from error
        value = updated() if msg["value"] is None else msg["value"]
        log_density = fn.log_prob(value) - updated.log_prob(value)
        return Layers(fn, ()).computed(value, log_density)

    def _likelihood(self, msg: ReparamMessage) -> Any:
        if hasattr(self.guide, "log_prob"):
            return self.guide
        arguments: Any = msg.get("arguments")
        if arguments is None:
            raise ArgumentError(
                f"site {msg['name']!r}: the guide of ConjugateReparam is a function of the model's "
                "arguments, which a with statement does not know; wrap the model: "
                "poutine.reparam(model, config=...), or pass a distribution",
                site=msg["name"],
            )
        args, kwargs = arguments
        return self.guide(*args, **kwargs)
