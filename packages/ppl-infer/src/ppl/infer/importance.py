"""Importance sampling: executions of a model at draws of a guide, with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError, warn
from ppl.matching import check_model_guide_match
from ppl.ops.stats import psis
from ppl.poutine.program_errors import require_program
from ppl.validation import is_validation_enabled, validation_enabled

from .arguments import positive_int
from .importance_weights import (
    effective_size,
    log_mean,
    log_weight,
    vectorized_log_weights,
)
from .particles import vectorize
from .predictive_runs import foreign_generators, refuse_foreign_draws
from .site_shapes import check_counted_once
from .trace_batch import TraceBatch, params_in, values_in
from .trace_posterior import TracePosterior
from .util import guess_max_plate_nesting

Model = Callable[..., Any]


class Importance(TracePosterior):
    """Importance sampling with a guide, or the prior, as the proposal distribution.

    A site that the guide does not have is proposed from its prior, whose density then cancels in
    the weight. All draws run at once with ``torch.func.vmap``. A model that cannot run so, such as
    one with a branch on a value, runs one draw after another, and a warning says why.

    Args:
        model: The model.
        guide: A program with the arguments of the model that samples its latent sites; by default
            they are drawn from their priors.
        num_samples: How many draws; 10 by default.
        vectorize: False to run one draw after another from the start.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))
        >>> posterior = Importance(model, num_samples=10_000).run()
        >>> evidence = dist.Normal(0.0, 2.0**0.5).log_prob(torch.tensor(1.0))
        >>> bool((posterior.get_log_normalizer() - evidence).abs() < 0.05)
        True

    References:
        Owen 2013, "Monte Carlo theory, methods and examples", chapter 9.
    """

    def __init__(
        self,
        model: Model,
        guide: Model | None = None,
        num_samples: int | None = None,
        *,
        vectorize: bool = True,
    ) -> None:
        super().__init__()
        require_program("model", model)
        if guide is not None:
            require_program("guide", guide)
        self.num_samples: int = positive_int(
            "num_samples", 10 if num_samples is None else num_samples
        )
        self.model, self.guide = model, guide
        self.vectorize = vectorize

    def get_log_normalizer(self) -> Tensor:
        """Return the log of the mean weight, in nats: an estimate of the log evidence.

        Raises:
            NotRunError: Before :meth:`run`.
        """
        self._normalized()  # which refuses to be asked before the run
        return log_mean(torch.stack(self.log_weights))

    def get_normalized_weights(self, log_scale: bool = False) -> Tensor:
        """Return weights, or their logs, that sum to one: shape ``(num_samples,)``.

        Raises:
            NotRunError: Before :meth:`run`.
        """
        log_weights = self._normalized()
        return log_weights if log_scale else log_weights.exp()

    def get_ESS(self) -> Tensor:
        """Return the effective number of draws, ``1 / sum(weight**2)``: 1 to ``num_samples``.

        Raises:
            NotRunError: Before :meth:`run`.

        References:
            Kong 1992, "A note on importance sampling using standardized weights".
        """
        return effective_size(self._normalized())

    def _report(self) -> dict[str, Any]:
        return {**super()._report(), "facts": {"log_evidence": self.get_log_normalizer().item()}}

    def _collect(
        self, *args: Any, **kwargs: Any
    ) -> tuple[Sequence[poutine.Trace], list[Tensor], list[int]]:
        if not self.vectorize or self.num_samples == 1:
            return super()._collect(*args, **kwargs)
        first = self._draw(*args, **kwargs)  # makes parameters, which vmap must not
        try:
            traces, log_weights = self._at_once(params_in(first[0]), args, kwargs)
        except Exception as error:  # one of the model itself comes again
            cause = str(error).partition("\n")[0]
            warn(f"Importance: the draws run one after another, all at once gave: {cause}")
            self.vectorize = False
            return super()._collect(*args, **kwargs)
        return traces, list(log_weights.unbind()), [0] * self.num_samples

    def _at_once(
        self, params: dict[str, Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[TraceBatch, Tensor]:
        """Return all traces and their weights by vmap: checks of values would be branches."""

        def one(_: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            trace, weight = self._draw(*args, **kwargs)
            return values_in(trace), weight

        before = foreign_generators()
        with validation_enabled(False):
            many = torch.func.vmap(one, randomness="different")
            values, log_weights = many(torch.arange(self.num_samples))
        refuse_foreign_draws(before)
        traces = TraceBatch(self.num_samples, self.model, values, params, args, kwargs)
        return traces, log_weights

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[poutine.Trace, Tensor]]:
        return (self._draw(*args, **kwargs) for _ in range(self.num_samples))

    def _draw(self, *args: Any, **kwargs: Any) -> tuple[poutine.Trace, Tensor]:
        """Return a trace of the model at a draw of the guide, and its log weight."""
        guide_trace = poutine.Trace()
        if self.guide is not None:
            guide_trace = poutine.trace(self.guide).get_trace(*args, **kwargs)
        replayed = poutine.replay(self.model, trace=guide_trace)
        model_trace = poutine.trace(replayed).get_trace(*args, **kwargs)
        if is_validation_enabled():
            check_counted_once(model_trace)
            if self.guide is not None:
                check_model_guide_match(model_trace, guide_trace)
        return model_trace, torch.as_tensor(log_weight(model_trace, guide_trace))


def vectorized_importance_weights(
    model: Model,
    guide: Model,
    *args: Any,
    num_samples: int = 1,
    max_plate_nesting: int | None = None,
    normalized: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, poutine.Trace, poutine.Trace]:
    """Return log importance weights of draws that are made at once, inside an extra plate.

    Args:
        model: The model, vectorized and of static structure.
        guide: The guide, too.
        args: The arguments of both.
        num_samples: How many draws.
        max_plate_nesting: The number of batch dimensions that the plates of model and guide use;
            found by running both once if not given.
        normalized: Whether the weights are to sum to one.
        kwargs: The keyword arguments of both.

    Returns:
        Log weights of shape ``(num_samples,)``, in nats, and the traces of model and guide, with
        all draws along the dimension left of all plates.

    Raises:
        ShapeError: If a site does not fit into the plate of the draws.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(0.0, 1.0))
        >>> vectorized_importance_weights(model, model, num_samples=3)[0]
        tensor([0., 0., 0.])
    """
    num_samples = positive_int("num_samples", num_samples)
    if max_plate_nesting is None:
        nestings = (guess_max_plate_nesting(program, args, kwargs) for program in (guide, model))
        max_plate_nesting = max(nestings)
    with poutine.block():
        together = [
            vectorize(program, num_samples, max_plate_nesting) for program in (model, guide)
        ]
        guide_trace = poutine.trace(together[1]).get_trace(*args, **kwargs)
        replayed = poutine.replay(together[0], trace=guide_trace)
        model_trace = poutine.trace(replayed).get_trace(*args, **kwargs)
    if is_validation_enabled():
        check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    log_weights = vectorized_log_weights(model_trace, guide_trace, num_samples)
    if normalized:
        log_weights = log_weights.log_softmax(0)
    return log_weights, model_trace, guide_trace


def psis_diagnostic(
    model: Model,
    guide: Model,
    *args: Any,
    num_particles: int = 1000,
    max_simultaneous_particles: int | None = None,
    max_plate_nesting: int = 7,
    **kwargs: Any,
) -> float:
    """Return the shape ``k`` of the tail of the importance weights: how good a proposal is a guide.

    Below 0.5 the guide is close to the posterior. Up to 0.7 it is of use as a proposal; above that
    its importance weights have too heavy a tail to be trusted. A negative ``k`` says that they are
    bounded, and -inf that they are all equal: the guide is the posterior.

    Args:
        model: The model, vectorized and of static structure.
        guide: The guide, too.
        args: The arguments of both.
        num_particles: How many draws; at least 25, and better thousands.
        max_simultaneous_particles: How many of them to make at once; all by default.
        max_plate_nesting: A bound on the number of batch dimensions that plates use.
        kwargs: The keyword arguments of both.

    Raises:
        SiteError: If ``num_particles`` is no multiple of ``max_simultaneous_particles``.

    References:
        Yao, Vehtari, Simpson & Gelman 2018, "Yes, but did it work?: Evaluating variational
        inference"; Vehtari et al. 2024, "Pareto smoothed importance sampling".
    """
    num_particles = positive_int("num_particles", num_particles)
    size = positive_int("max_simultaneous_particles", max_simultaneous_particles or num_particles)
    if num_particles % size:
        raise SiteError(
            f"num_particles={num_particles} must be a multiple of max_simultaneous_particles={size}"
        )
    options = {"num_samples": size, "max_plate_nesting": max_plate_nesting, **kwargs}
    with torch.no_grad():
        parts = [
            vectorized_importance_weights(model, guide, *args, **options)[0]
            for _ in range(num_particles // size)
        ]
    return float(psis(torch.cat(parts).double())[1])
