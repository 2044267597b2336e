"""The estimator that sums over discrete sites, and keeps what is needed to draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ppl.poutine as poutine
from ppl.errors import NotRunError, UnsupportedModelError
from ppl.infer.backward_sampling import BackwardSampleMessenger

from .trace_enum_elbo import TraceEnum_ELBO

Model = Callable[..., Any]
Traces = tuple[poutine.Trace, poutine.Trace]


class TraceEnumSample_ELBO(TraceEnum_ELBO):  # the public name is the field's
    """:class:`TraceEnum_ELBO` that can draw the discrete sites of its last execution.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.infer import config_enumerate
        >>> from ppl.primitives import sample
        >>> @config_enumerate
        ... def model():
        ...     z = sample("z", dist.Bernoulli(0.5))
        ...     sample("x", dist.Normal(20.0 * z, 1.0), obs=torch.tensor(20.0))
        ...     return z
        >>> elbo = TraceEnumSample_ELBO()
        >>> loss = elbo.loss(model, lambda: None)
        >>> elbo.sample_saved()
        tensor(1.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._saved: tuple[Traces, Callable[[], Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_saved": None}  # an execution stays where it was

    def sample_saved(self) -> Any:
        """Return what the model returns at a draw of the enumerated sites of the last execution.

        They come from their posterior given all else in that execution, of the last particle unless
        these are vectorized.

        Raises:
            NotRunError: If no loss has been computed.
            UnsupportedModelError: If the guide enumerates sequentially, in several executions.
        """
        if self._saved is None:
            raise NotRunError("there is no execution to draw from; call loss(model, guide) before")
        traces, rerun = self._saved
        for name, site in traces[1].iter_stochastic_nodes():
            if site["infer"].get("enumerate") == "sequential":
                raise UnsupportedModelError(
                    f"site {name!r} of the guide is enumerated sequentially, and the last "
                    "execution has one of its values; enumerate it in parallel"
                )
        with BackwardSampleMessenger(*traces):
            return rerun()

    def _traces(
        self,
        model: Model,
        guide: Model,
        nesting: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Traces]:
        for traces in super()._traces(model, guide, nesting, args, kwargs):
            self._saved = traces, lambda: model(*args, **kwargs)
            yield traces
