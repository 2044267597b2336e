"""Predictions with importance weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import prune_subsample_sites

from .importance_weights import effective_size, log_mean, normalized
from .predictive import Predictive
from .predictive_runs import AtDraw, run_draws, values_of

Model = Callable[..., Any]
Samples = dict[str, Tensor]
R = TypeVar("R", bound="WeighedPredictiveResults")
_LOG_PROB = "_log_prob"  # among values by site; a user's site may not begin so


@dataclass
class WeighedPredictiveResults:
    """Predictive draws and their importance weights.

    Attributes:
        samples: Draws by site, or a tuple of them, each of shape ``(draw, *site)``.
        log_weights: ``model_log_prob - guide_log_prob``, shape ``(draw,)``, in nats.
        guide_log_prob: The log density of each draw under the guide.
        model_log_prob: The log density of each draw and the observations under the model.
    """

    samples: dict[str, Tensor] | tuple[Tensor, ...]
    log_weights: Tensor
    guide_log_prob: Tensor
    model_log_prob: Tensor

    def clone(self: R) -> R:
        """Return a copy with tensors of its own."""
        return copy.deepcopy(self)

    def get_log_normalizer(self) -> Tensor:
        """Return the log of the mean weight: an estimate of the log evidence, in nats."""
        return log_mean(self.log_weights)

    def get_normalized_weights(self, log_scale: bool = False) -> Tensor:
        """Return weights, or their logs, that sum to one: shape ``(draw,)``."""
        log_weights = normalized(self.log_weights)
        return log_weights if log_scale else log_weights.exp()

    def get_ESS(self) -> Tensor:
        """Return the effective number of draws, ``1 / sum(weight**2)``."""
        return effective_size(self.log_weights)


class WeighedPredictive(Predictive):
    """A :class:`Predictive` whose draws of a guide have importance weights.

    A latent site that the guide does not have is drawn from its prior and does not count in the
    weight.

    Args:
        model: The model.
        posterior_samples: Not possible here; the argument has its place in :class:`Predictive`.
        guide: The guide to draw the latent sites from.
        num_samples: The number of draws.
        return_sites: Names of the sites to return; None for all of them.
        parallel: Run guide and model for all draws at once, with ``torch.func.vmap``.

    Raises:
        SiteError: If there is no guide.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
        >>> def guide():
        ...     sample("z", dist.Normal(0.5, 1.0))
        >>> predictive = WeighedPredictive(
        ...     model, guide=guide, num_samples=5000, return_sites=["z"], parallel=True
        ... )
        >>> results = predictive()
        >>> round((results.get_normalized_weights() * results.samples["z"]).sum().item(), 1)
        1.0
    """

    def __init__(
        self,
        model: Model,
        posterior_samples: dict[str, Tensor] | None = None,
        guide: Model | None = None,
        num_samples: int | None = None,
        return_sites: Any = (),
        parallel: bool = False,
    ) -> None:
        super().__init__(model, posterior_samples, guide, num_samples, return_sites, parallel)
        if guide is None:
            raise SiteError("WeighedPredictive weighs the draws of a guide: pass guide=")

    def forward(  # type: ignore[override]
        self, *args: Any, model_guide: Model | None = None, **kwargs: Any
    ) -> WeighedPredictiveResults:
        """Return draws with weights.

        Args:
            args: Arguments of model and guide.
            model_guide: A model to weigh the draws by, such as one conditioned on data that
                ``model`` is to predict; ``model`` by default.
            kwargs: Keyword arguments of model and guide.
        """
        scorer = self.model if model_guide is None else model_guide
        require_program("model_guide", scorer)
        with torch.no_grad():
            given, guide_log_prob = self._scored(self.guide, {}, args, kwargs)
            free, model_log_prob = self._scored(scorer, given, args, kwargs)
            samples = self._run(self.model, {**given, **free}, self._wanted, args, kwargs)
        log_weights = model_log_prob - guide_log_prob
        return WeighedPredictiveResults(samples, log_weights, guide_log_prob, model_log_prob)

    def call(self, *args: Any, **kwargs: Any) -> WeighedPredictiveResults:  # type: ignore[override]
        """Return what :meth:`forward` returns, its samples as a tuple in the order of the names."""
        results = self(*args, **kwargs)
        results.samples = tuple(results.samples[name] for name in sorted(results.samples))
        return results  # type: ignore[no-any-return]

    def _scored(
        self, program: Any, given: Samples, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Samples, Tensor]:
        """Return draws of the latent sites that are not given, and the log density.

        If nothing is given all sites count, else those that are given or observed.
        """

        def at_draw(draw: Samples) -> Samples:
            with poutine.block(), AtDraw(draw):
                trace = poutine.trace(program).get_trace(*args, **kwargs)
            free = prune_subsample_sites(trace).stochastic_nodes
            log_prob = trace.log_prob_sum(lambda _, site: not given or site["is_observed"])
            return {**values_of(trace, free), _LOG_PROB: torch.as_tensor(log_prob)}

        first = at_draw({name: x[0] for name, x in given.items()})
        values = run_draws(at_draw, given, first, self.num_samples, self.parallel)
        return values, values.pop(_LOG_PROB)
