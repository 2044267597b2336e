"""Traces of a model at the traces of a posterior; superseded by ``Predictive``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import warn
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import prune_subsample_sites

from .arguments import positive_int
from .trace_posterior import TracePosterior


class TracePredictive(TracePosterior):
    """Executions of a model at latent values from a posterior; deprecated, use ``Predictive``.

    Args:
        model: The model; :meth:`run` takes its arguments.
        posterior: A posterior after its ``run``.
        num_samples: How many traces to draw.
        keep_sites: The latent sites to take from the posterior, the others are drawn anew; all by
            default.
    """

    posterior: Any  # what it draws from, in place of the method

    def __init__(
        self,
        model: Callable[..., Any],
        posterior: TracePosterior,
        num_samples: int,
        keep_sites: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        warn(
            "TracePredictive is deprecated; call Predictive(model, posterior_samples)",
            FutureWarning,
        )
        require_program("model", model)
        self.model, self.posterior = model, posterior
        self.num_samples: int = positive_int("num_samples", num_samples)
        self.keep_sites = keep_sites

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[poutine.Trace, Tensor]]:
        for _ in range(self.num_samples):
            given = _latent(self.posterior(), self.keep_sites)
            replayed = poutine.replay(self.model, trace=given)
            yield poutine.trace(replayed).get_trace(*args, **kwargs), torch.zeros(())


def _latent(trace: poutine.Trace, keep_sites: Sequence[str] | None) -> poutine.Trace:
    """Return a trace with the latent sites to keep; new data need not have the old sizes."""
    given: poutine.Trace = prune_subsample_sites(trace)
    names = given.stochastic_nodes
    for name in list(given.nodes):
        if name not in names or (keep_sites is not None and name not in keep_sites):
            given.remove_node(name)
    return given
