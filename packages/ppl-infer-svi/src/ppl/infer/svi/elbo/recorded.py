"""Estimators that run as recorded tensor programs, without the Python of handlers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from ppl.infer.elbo import ELBO
from ppl.infer.util import torch_backward, torch_item
from ppl.ops.jit import trace

from .trace_elbo import Trace_ELBO
from .trace_enum_elbo import TraceEnum_ELBO, require_gradient
from .trace_graph_elbo import TraceGraph_ELBO
from .trace_mean_field_elbo import TraceMeanField_ELBO

Model = Callable[..., Any]
Key = tuple[Model, Model]
MAX_PAIRS = 8  # of model and guide whose recordings are kept


class Recorded(ELBO):
    """Makes of an estimator, the next base class, one that :func:`ppl.ops.jit.trace` records.

    Model and guide must be static: their flow of control must not depend on values. Tensors are
    inputs of the recording; anything else in the arguments is an option, and another value of it
    records anew, as does another shape of a tensor. The first calls run model and guide themselves,
    which creates the parameters, and the recording is compared with them. Where there is none, the
    plain estimator goes on, and a warning says why.  ``loss``, which has no gradient, is the plain
    estimator's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recordings: dict[Key, Callable[..., Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: it records anew."""
        return {**vars(self), "_recordings": {}}

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of ``-ELBO`` whose gradient estimates its gradient."""
        return self._recording(model, guide)(*args, **kwargs)

    def _plain(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return the estimate that is recorded."""
        return super().differentiable_loss(model, guide, *args, **kwargs)

    def loss_and_surrogate_loss(
        self, model: Model, guide: Model, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return an estimate of ``-ELBO``, and what has its value and the gradient to follow."""
        surrogate = self.differentiable_loss(model, guide, *args, **kwargs)
        return surrogate.detach(), surrogate

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO`` and add its gradient to ``.grad`` of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        torch_backward(loss, self.retain_graph)
        return torch_item(loss)

    def _recording(self, model: Model, guide: Model) -> Callable[..., Tensor]:
        """Return the recorded loss of a pair; the oldest ones are forgotten."""
        key = model, guide
        if key not in self._recordings:
            while len(self._recordings) >= MAX_PAIRS:
                del self._recordings[next(iter(self._recordings))]
            self._recordings[key] = self._record(model, guide)
        return self._recordings[key]

    def _record(self, model: Model, guide: Model) -> Callable[..., Tensor]:
        loss = partial(self._plain, model, guide)  # whose parts a recording watches
        loss.__name__ = f"the loss of {type(self).__name__}"  # type: ignore[attr-defined]
        recorded: Callable[..., Tensor] = trace(loss, self.ignore_jit_warnings, self.jit_options)
        return recorded


class JitTrace_ELBO(Recorded, Trace_ELBO):  # the public name is the field's
    """:class:`Trace_ELBO`, recorded; see :class:`Recorded` for what that asks of a model."""


class JitTraceEnum_ELBO(Recorded, TraceEnum_ELBO):  # the public name is the field's
    """:class:`TraceEnum_ELBO`, recorded; see :class:`Recorded` for what that asks of a model."""

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of ``-ELBO`` whose gradient estimates its gradient."""
        return require_gradient(super().differentiable_loss(model, guide, *args, **kwargs))

    def _plain(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        return self._total(model, guide, args, kwargs)


class JitTraceGraph_ELBO(Recorded, TraceGraph_ELBO):  # the public name is the field's
    """:class:`TraceGraph_ELBO`, recorded; see :class:`Recorded` for what that asks of a model."""


class JitTraceMeanField_ELBO(Recorded, TraceMeanField_ELBO):  # the public name is the field's
    """:class:`TraceMeanField_ELBO`, recorded; see :class:`Recorded` for what it asks of a model."""
