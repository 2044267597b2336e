"""The evidence lower bound: the interface of its estimators, and a front door that chooses one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

import ppl.plugins as plugins
import ppl.poutine as poutine
from ppl.arguments import refuse_keywords
from ppl.errors import PlateError

from .arguments import known_options, positive_int
from .elbo_module import ELBOModule as ELBOModule
from .particles import Nesting, vectorize

Model = Callable[..., Any]


class ELBO:
    """An estimator of ``-ELBO = E_guide[log guide - log model]``, in nats, and of its gradient.

    Derived classes implement :meth:`loss_and_grads` and what else they can. The class itself is
    concrete too and stands for the estimator of the ``ppl.elbos`` registry that it is asked for.

    Args:
        num_particles: How many samples of the guide to average over.
        max_plate_nesting: The largest number of nested vectorized plates; found by running the
            model once if not given.
        max_iarange_nesting: The old name of ``max_plate_nesting``.
        vectorize_particles: Draw all particles in one vectorized execution, inside an extra plate.
        strict_enumeration_warning: Warn about marks for enumeration that have no effect, and, in
            estimators that enumerate, about their absence.
        ignore_jit_warnings: For estimators that compile; the others have no use for it.
        jit_options: For estimators that compile; the others have no use for it.
        retain_graph: Whether ``backward`` keeps the graph.
        tail_adaptive_beta: For the estimator of the tail-adaptive f-divergence; the others have no
            use for it.
        trace_graph: Of the class itself: use the estimator that tracks dependencies.
        enum_discrete: Of the class itself: use the estimator that sums out discrete sites. The
            class itself also takes ``ELBO(num_particles, trace_graph, enum_discrete)`` by position,
            as Pyro 0.1 did: a bool in the second place is ``trace_graph``.

    Raises:
        SiteError: If ``num_particles`` is no positive integer.
        SiteTypeError: For any other keyword; the message offers the nearest.

    Called with a model and a guide, an estimator is the module of their loss,
    :class:`~ppl.infer.elbo_module.ELBOModule`.
    """

    trace_graph: bool
    enum_discrete: bool

    def __init__(
        self,
        num_particles: int = 1,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: int | None = None,
        vectorize_particles: bool = False,
        strict_enumeration_warning: bool = True,
        ignore_jit_warnings: bool = False,
        jit_options: dict[str, Any] | None = None,
        retain_graph: bool | None = None,
        tail_adaptive_beta: float = -1.0,
        trace_graph: bool = False,
        enum_discrete: bool = False,
        **unknown: Any,
    ) -> None:
        refuse_keywords(type(self).__name__, unknown, known_options(ELBO, type(self)))
        if type(self) is ELBO and isinstance(max_plate_nesting, bool):  # the order of Pyro 0.1
            trace_graph, enum_discrete = max_plate_nesting, bool(max_iarange_nesting)
            max_plate_nesting, max_iarange_nesting = math.inf, None
        self.num_particles: int = positive_int("num_particles", num_particles)
        self.max_plate_nesting: float = (
            max_plate_nesting if max_iarange_nesting is None else max_iarange_nesting
        )
        self.vectorize_particles = vectorize_particles
        self.strict_enumeration_warning = strict_enumeration_warning
        self.ignore_jit_warnings = ignore_jit_warnings
        self.jit_options = jit_options
        self.retain_graph = retain_graph
        self.tail_adaptive_beta = tail_adaptive_beta
        self.trace_graph, self.enum_discrete = trace_graph, enum_discrete
        self._guessed = Nesting()

    def __repr__(self) -> str:
        defaults = inspect.signature(ELBO).parameters
        own = {name: getattr(self, name) for name in defaults if hasattr(self, name)}
        changed = [f"{k}={v!r}" for k, v in own.items() if v != defaults[k].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __call__(self, model: Model, guide: Model) -> ELBOModule:
        """Return the module whose call, with the arguments of model and guide, is the loss."""
        return ELBOModule(model, guide, self)

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO``, in nats."""
        return self._estimator().loss(model, guide, *args, **kwargs)

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO`` and add its gradient to ``.grad`` of the parameters."""
        return self._estimator().loss_and_grads(model, guide, *args, **kwargs)

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of ``-ELBO`` whose gradient estimates its gradient."""
        return self._estimator().differentiable_loss(model, guide, *args, **kwargs)

    def _estimator(self) -> ELBO:
        if type(self) is not ELBO:
            raise NotImplementedError(f"{type(self).__name__} does not implement this estimate")
        name = (
            "TraceEnum_ELBO"
            if self.enum_discrete
            else "TraceGraph_ELBO"
            if self.trace_graph
            else "Trace_ELBO"
        )
        chosen = ("trace_graph", "enum_discrete")
        options = {k: v for k, v in vars(self).items() if k[0] != "_" and k not in chosen}
        estimator: ELBO = plugins.load("ppl.elbos", name, provider="ppl-infer-svi")(**options)  # type: ignore[operator]
        return estimator

    # for derived classes

    def _particles(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Any]:
        """Iterate over the pairs ``(model_trace, guide_trace)`` whose losses are to be averaged."""
        if not self.vectorize_particles:
            for _ in range(self.num_particles):
                yield self._get_trace(model, guide, args, kwargs)
        elif self.num_particles == 1:
            yield self._get_trace(model, guide, args, kwargs)
        else:
            nesting = self._nesting(model, args, kwargs)
            together = [self._vectorized(program, nesting) for program in (model, guide)]
            yield self._get_trace(together[0], together[1], args, kwargs)

    def _nesting(self, model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        return self._guessed.of(self.max_plate_nesting, model, args, kwargs)

    def _batch_dims(self) -> float:
        """How many batch dimensions belong to plates, that of vectorized particles included."""
        is_vectorized = self.vectorize_particles and self.num_particles > 1
        return self.max_plate_nesting + is_vectorized

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement _get_trace")

    def _vectorized(self, fn: Model, nesting: int) -> Model:
        """Wrap a program in a plate over particles, at the first dimension that no plate uses."""
        if nesting < 0:
            raise PlateError("max_plate_nesting must be at least 0")
        together = vectorize(fn, self.num_particles, nesting)
        scaled: Model = poutine.scale(together, scale=1 / self.num_particles)
        return scaled
