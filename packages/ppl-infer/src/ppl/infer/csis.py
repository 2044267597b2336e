"""Compiled sequential importance sampling: a guide that is trained on draws of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import ppl.poutine as poutine
from ppl.errors import MissingSiteError, SiteError
from ppl.poutine.util import prune_subsample_sites

from .arguments import positive_int
from .importance import Importance

Model = Callable[..., Any]


class CSIS(Importance):
    """Importance sampling with a guide that is trained once, for all observations.

    Each step draws latent values and observations from the model and makes the latent values more
    probable under the guide: it descends ``E[-log guide(latent | observed)]`` over the joint
    distribution, and so the divergence from the posterior to the guide, averaged over observations.

    Args:
        model: The model. It takes ``observations``, a dict by site, as a keyword argument.
        guide: The guide, which takes ``observations`` too, and usually looks at them.
        optim: An optimizer of ``ppl.optim``.
        num_inference_samples: How many draws :meth:`run` makes.
        training_batch_size: How many draws of the model each step uses.
        validation_batch_size: How many draws the validation loss uses.

    Raises:
        MissingSiteError: In training, if the guide lacks a latent site of the model.
        SiteError: In training, if nothing is observed in the model.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.optim import Adam
        >>> from ppl.primitives import clear_param_store, param, sample
        >>> from ppl.util import set_rng_seed
        >>> clear_param_store(); set_rng_seed(0)
        >>> def model(observations={"x": torch.tensor(0.0)}):
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=observations["x"])
        >>> def guide(observations={"x": torch.tensor(0.0)}):
        ...     slope = param("slope", torch.tensor(0.0))
        ...     sample("z", dist.Normal(slope * observations["x"], 0.5**0.5))
        >>> csis = CSIS(model, guide, Adam({"lr": 0.02}))
        >>> losses = [csis.step() for _ in range(200)]
        >>> bool((param("slope") - 0.5).abs() < 0.1)
        True

    References:
        Le, Baydin & Wood 2017, "Inference compilation and universal probabilistic programming".
    """

    def __init__(
        self,
        model: Model,
        guide: Model,
        optim: Callable[..., Any],
        num_inference_samples: int = 10,
        training_batch_size: int = 10,
        validation_batch_size: int = 20,
    ) -> None:
        if guide is None:
            raise SiteError("CSIS trains a guide: pass one")
        super().__init__(model, guide, num_inference_samples)
        self.optim = optim
        self.training_batch_size: int = positive_int("training_batch_size", training_batch_size)
        self.validation_batch_size: int = positive_int(
            "validation_batch_size", validation_batch_size
        )
        self.validation_batch: list[poutine.Trace] | None = None

    def set_validation_batch(self, *args: Any, **kwargs: Any) -> None:
        """Draw executions of the model that :meth:`validation_loss` uses from now on."""
        self.validation_batch = [
            self._joint(args, kwargs) for _ in range(self.validation_batch_size)
        ]

    def step(self, *args: Any, **kwargs: Any) -> float:
        """Take one gradient step on new draws of the model, and return the loss in nats."""
        with poutine.trace(param_only=True) as captured:
            loss = self.loss_and_grads(True, None, *args, **kwargs)
        params = {site["value"].unconstrained() for site in captured.trace.nodes.values()}
        self.optim(params)
        for parameter in params:
            parameter.grad = None if parameter.grad is None else torch.zeros_like(parameter.grad)
        return loss

    def loss_and_grads(
        self, grads: bool, batch: list[poutine.Trace] | None, *args: Any, **kwargs: Any
    ) -> float:
        """Return an estimate of the loss, in nats.

        Args:
            grads: Whether to add its gradient to ``.grad`` of the parameters of the guide.
            batch: Executions of the model; None to draw ``training_batch_size`` of them.
            args: Arguments of model and guide.
            kwargs: Keyword arguments of model and guide.
        """
        if batch is None:
            batch = [self._joint(args, kwargs) for _ in range(self.training_batch_size)]
        with torch.set_grad_enabled(grads):
            terms = [-self._guide_log_prob(trace, args, kwargs) for trace in batch]
            loss = torch.stack(terms).mean()
            if grads and loss.requires_grad:
                loss.backward()
        return loss.item()

    def validation_loss(self, *args: Any, **kwargs: Any) -> float:
        """Return the loss, in nats, of the validation batch; of new draws if there is none."""
        if self.validation_batch is None:
            batch = [self._joint(args, kwargs) for _ in range(self.validation_batch_size)]
            return self.loss_and_grads(False, batch, *args, **kwargs)
        return self.loss_and_grads(False, self.validation_batch, *args, **kwargs)

    def _joint(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> poutine.Trace:
        """Return an execution of the model with its observations drawn, too."""
        with torch.no_grad(), poutine.block():
            unconditioned = poutine.uncondition(self.model)
            trace: poutine.Trace = poutine.trace(unconditioned).get_trace(*args, **kwargs)
        if not any(map(_was_observed, trace.nodes.values())):
            raise SiteError("CSIS learns from observations, but no site of the model is observed")
        return trace

    def _guide_log_prob(
        self, joint: poutine.Trace, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> torch.Tensor:
        """Return the log density of latent values given the observations of an execution."""
        latent: poutine.Trace = prune_subsample_sites(joint)
        observations = {n: s["value"] for n, s in latent.nodes.items() if _was_observed(s)}
        for name in observations:
            latent.remove_node(name)
        replayed = poutine.replay(self.guide, trace=latent)
        given = {**kwargs, "observations": observations}
        trace = poutine.trace(replayed).get_trace(*args, **given)
        missing = [name for name in latent.stochastic_nodes if name not in trace]
        if missing:
            raise MissingSiteError(
                f"the guide has no sites {missing}, which are latent in the model; CSIS learns "
                "all of them",
                site=missing[0],
            )
        return torch.as_tensor(trace.log_prob_sum())


def _was_observed(site: dict[str, Any]) -> bool:
    infer = site.get("infer") or {}
    return bool(infer.get("was_observed")) and not infer.get("_deterministic")
