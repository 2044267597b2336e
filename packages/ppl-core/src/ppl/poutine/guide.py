"""Guides written as handlers of their model."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..distribution import Delta
from ..errors import ShapeError, SiteError
from ..validation import is_validation_enabled
from .block_messenger import BlockMessenger
from .messenger import Messenger
from .runtime import stack
from .trace_messenger import TraceMessenger
from .trace_struct import Trace
from .util import site_is_subsample


class GuideMessenger(Messenger, metaclass=ABCMeta):
    """A guide that runs its model with a posterior in the place of each prior.

    Derived classes implement :meth:`get_posterior`. Handlers further out see the latent sites with
    their posteriors, and neither observed nor deterministic sites.

    Args:
        model: A stochastic function.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> from ppl.primitives import sample
        >>> class Shifted(GuideMessenger):
        ...     def get_posterior(self, name, prior):
        ...         return prior.mean + 1.0
        >>> Shifted(lambda: sample("x", Normal(2.0, 1.0)))()
        {'x': tensor(3.)}
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__()
        self._model = (model,)  # a tuple, so that the parameters of a module stay with the model
        self.trace: Trace = Trace()

    @property
    def model(self) -> Callable[..., Any]:
        return self._model[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "trace": Trace()}

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Draw from the guide.

        Returns:
            The values of latent and deterministic sites by name.
        """
        recorder = _PosteriorMessenger(self)
        with BlockMessenger(hide_types=["observe"]), recorder:
            self.model(*args, **kwargs)
        self.trace = recorder.trace
        return {
            name: site["value"]
            for name, site in self.trace._sample_sites()
            if _is_latent(site) or site["infer"].get("_deterministic")
        }

    @abstractmethod
    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the posterior of a site: a distribution, or a value of it.

        Args:
            name: The site.
            prior: Its distribution in the model, expanded by the plates around it.
        """

    def upstream_value(self, name: str) -> Tensor | None:
        """Return the value of a site before the present one, or None; for :meth:`get_posterior`.

        Raises:
            SiteError: If the guide is not running.
        """
        for handler in reversed(stack()):
            if isinstance(handler, _PosteriorMessenger) and handler.guide is self:
                site = handler.trace.nodes.get(name)
                return None if site is None else site["value"]
        raise SiteError(f"upstream_value({name!r}) has a meaning only while the guide runs")

    def get_traces(self) -> tuple[Trace, Trace]:
        """Return the traces of model and guide in the last run.

        Both have the same values; in the model latent sites have their priors.
        """
        model_trace, guide_trace = self.trace.copy(), self.trace.copy()
        for name, site in self.trace._sample_sites():
            if "_prior" in site:
                model_trace.nodes[name]["fn"] = site["_prior"]
            elif site["is_observed"]:
                guide_trace.remove_node(name)
        return model_trace, guide_trace


class _PosteriorMessenger(TraceMessenger):
    """Records a run of the model under a guide; the record lies on the stack, apart from others."""

    def __init__(self, guide: GuideMessenger) -> None:
        super().__init__()
        self.guide = guide

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not _is_latent(msg):
            return
        prior = msg["fn"]
        posterior = self.guide.get_posterior(msg["name"], prior)
        if isinstance(posterior, Tensor):
            posterior = Delta(posterior, event_dim=len(prior.event_shape))
        if is_validation_enabled():
            _check_shape(msg["name"], prior, posterior)
        msg["_prior"], msg["fn"] = prior, posterior


def _is_latent(site: dict[str, Any]) -> bool:
    return not site["is_observed"] and not site_is_subsample(site)


def _check_shape(name: str, prior: Any, posterior: Any) -> None:
    want, got = ((tuple(fn.batch_shape), tuple(fn.event_shape)) for fn in (prior, posterior))
    if want != got:
        raise ShapeError(
            f"site {name!r}: the prior has batch and event shape {want}, but get_posterior "
            f"returned {got}; use prior.shape(), or .expand(prior.batch_shape).to_event(n)"
        )
