"""Reweighted wake-sleep: one loss for the model, another for the guide."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, SiteError, UnsupportedModelError
from ppl.infer.arguments import positive_int
from ppl.infer.particles import vectorize
from ppl.infer.util import torch_backward
from ppl.poutine.messenger import Messenger

from .log_weights import Traces, log_weights
from .trace_elbo import Trace_ELBO

Model = Callable[..., Any]
Losses = tuple[Tensor, Tensor]


class ReweightedWakeSleep(Trace_ELBO):
    """The losses of reweighted wake-sleep (Bornschein & Bengio 2015).

    There are two, and no sample needs to be reparametrized. That of the model is minus the
    importance-weighted bound, ``-log mean(w)`` of the weights ``w`` of ``num_particles`` samples of
    the guide. That of the guide is its cross-entropy, ``-E[log guide]``, under the posterior,
    estimated by the same samples with their normalized weights (wake-phi), or under samples of the
    model with data of its own (sleep-phi), or a mixture of both. Gradients of each loss go to the
    parameters of its program alone.

    For sleep-phi, the guide has to look at the data that it is for: it takes a keyword
    ``observations``, a dict of values by site, to which the model's samples are passed.

    Args:
        num_particles: How many samples of the guide make the weights, 2 or more.
        insomnia: The share of wake-phi in the loss of the guide, from 0 (sleep only) to 1.
        model_has_params: Whether the model is to be trained; otherwise its gradient is left out,
            and with ``insomnia=0`` its loss, too, which is then nan.
        num_sleep_particles: How many samples of the model sleep-phi takes; default:
            ``num_particles``.
        vectorize_particles: Draw all samples of a kind in one vectorized execution.
        max_plate_nesting: As of :class:`Trace_ELBO`.
        strict_enumeration_warning: Whether to warn of marks for enumeration.

    Raises:
        ArgumentError: If ``insomnia`` is not between 0 and 1, or there is one particle.
        SiteError: If sleep-phi is wanted and the guide takes no ``observations``.
        UnsupportedModelError: If a plate subsamples: weights of subsamples are biased.

    References:
        Le et al. 2019, "Revisiting reweighted wake-sleep for models with stochastic control flow".

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import param, sample
        >>> def model(observations):
        ...     z = sample("z", dist.Bernoulli(param("p", torch.tensor(0.5))))
        ...     sample("x", dist.Bernoulli(0.1 + 0.8 * z), obs=observations["x"])
        >>> def guide(observations):
        ...     sample("z", dist.Bernoulli(0.1 + 0.8 * observations["x"]))
        >>> rws = ReweightedWakeSleep(num_particles=8)
        >>> model_loss, guide_loss = rws.loss(model, guide, observations={"x": torch.tensor(1.0)})
        >>> round(model_loss, 4)  # the guide is the posterior, so that the bound is tight
        0.6931
    """

    def __init__(
        self,
        num_particles: int = 2,
        insomnia: float = 1.0,
        model_has_params: bool = True,
        num_sleep_particles: int | None = None,
        vectorize_particles: bool = True,
        max_plate_nesting: float = math.inf,
        strict_enumeration_warning: bool = True,
        **unknown: Any,
    ) -> None:
        super().__init__(
            num_particles,
            max_plate_nesting,
            vectorize_particles=vectorize_particles,
            strict_enumeration_warning=strict_enumeration_warning,
            **unknown,
        )
        if not 0 <= insomnia <= 1:
            raise ArgumentError(f"insomnia must be between 0 and 1, got {insomnia}")
        self.insomnia: float
        self.model_has_params: bool
        self.insomnia, self.model_has_params = insomnia, model_has_params
        self.num_sleep_particles: int = positive_int(
            "num_sleep_particles", num_sleep_particles or num_particles
        )
        if self._wakes() and self.num_particles < 2:
            raise ArgumentError(
                f"importance weights compare particles: pass num_particles=2 or more, got "
                f"{num_particles}"
            )

    def loss(  # type: ignore[override]
        self, model: Model, guide: Model, *args: Any, **kwargs: Any
    ) -> tuple[float, float]:
        """Return the losses of model and guide, in nats."""
        with torch.no_grad():
            losses = self.differentiable_loss(model, guide, *args, **kwargs)
        return losses[0].item(), losses[1].item()

    def differentiable_loss(  # type: ignore[override]
        self, model: Model, guide: Model, *args: Any, **kwargs: Any
    ) -> Losses:
        """Return the losses of model and guide, which share no gradients."""
        model_loss, guide_loss = torch.tensor(math.nan), torch.tensor(0.0)
        if self._wakes():
            model_loss, guide_loss = self._wake(model, guide, args, kwargs)
        if self.insomnia < 1:
            asleep = self._sleep(model, guide, args, kwargs)
            guide_loss = self.insomnia * guide_loss + (1 - self.insomnia) * asleep
        return model_loss, guide_loss

    def loss_and_grads(  # type: ignore[override]
        self, model: Model, guide: Model, *args: Any, **kwargs: Any
    ) -> tuple[float, float]:
        """Return the losses and add the gradient of each to ``.grad`` of its parameters."""
        losses = self.differentiable_loss(model, guide, *args, **kwargs)
        for loss in losses:
            torch_backward(loss, self.retain_graph)
        return losses[0].item(), losses[1].item()

    def _wakes(self) -> bool:
        return self.model_has_params or self.insomnia > 0

    def _wake(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Losses:
        """Return the losses at samples of the guide."""
        with _Detached():
            traces = list(self._particles(model, guide, args, kwargs))
        num_vectorized = self.num_particles if self.vectorize_particles else 1
        log_model, log_guide = (
            log_weights([_only(pair, kept) for pair in traces], num_vectorized, by_plate=False)
            .values.reshape(self.num_particles)
            .mul(sign)
            for kept, sign in ((0, 1), (1, -1))
        )
        log_weight = log_model - log_guide.detach()
        if not self.model_has_params:
            log_weight = log_weight.detach()
        bound = log_weight.logsumexp(0) - math.log(self.num_particles)
        return -bound, -(log_weight.detach().softmax(0) * log_guide).sum()

    def _sleep(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """Return the mean of minus the log density of the guide at samples of the model."""
        _require_observations(guide)
        if self.vectorize_particles and self.num_sleep_particles > 1:
            nesting = self._nesting(model, args, kwargs)
            count = self.num_sleep_particles
            model, guide = (vectorize(fn, count, nesting) for fn in (model, guide))
            return self._dream(model, guide, args, kwargs) / count
        dreams = [self._dream(model, guide, args, kwargs) for _ in range(self.num_sleep_particles)]
        return torch.stack(dreams).mean()

    def _dream(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        with torch.no_grad():
            dream = poutine.trace(poutine.uncondition(model)).get_trace(*args, **kwargs)
        observed = {
            name: site["value"]
            for name, site in dream.iter_stochastic_nodes()
            if site["infer"].get("was_observed")
        }
        replayed = poutine.trace(poutine.replay(guide, trace=dream))
        guide_trace = replayed.get_trace(*args, **{**kwargs, "observations": observed})
        return -torch.as_tensor(guide_trace.log_prob_sum())

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Traces:
        traces = super()._get_trace(model, guide, args, kwargs)
        for trace in traces:
            _refuse_subsamples(trace)
        return traces


class _Detached(Messenger):
    """Cuts the gradients of samples."""

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if isinstance(msg["value"], Tensor) and not msg["is_observed"]:
            msg["value"] = msg["value"].detach()


def _only(pair: Traces, kept: int) -> Traces:
    """Return a pair of traces of which one is empty."""
    return (pair[0], poutine.Trace()) if kept == 0 else (poutine.Trace(), pair[1])


def _require_observations(guide: Model) -> None:
    """Refuse a guide that samples of the model's data cannot be passed to."""
    program = guide.forward if isinstance(guide, torch.nn.Module) else guide
    try:
        parameters = inspect.signature(program).parameters
    except (TypeError, ValueError):
        return
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if "observations" not in parameters and not is_open:
        raise SiteError(
            "insomnia < 1 trains the guide on data that the model makes up: let the guide take "
            "them as a keyword, def guide(..., observations=None), a dict of values by site"
        )


def _refuse_subsamples(trace: poutine.Trace) -> None:
    for name, site in trace.nodes.items():
        for frame in site.get("cond_indep_stack", ()):
            if frame.full_size is not None and frame.full_size != frame.size:
                raise UnsupportedModelError(
                    f"site {name!r} is in plate {frame.name!r}, which has {frame.size} of "
                    f"{frame.full_size} elements, and importance weights of subsamples are biased; "
                    "use the whole plate, or RenyiELBO if all sites are in the plate",
                    site=name,
                )
