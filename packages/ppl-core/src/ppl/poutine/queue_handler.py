"""``queue``: run a program at one value after another of its discrete sites."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..arguments import function, integer, named, wrong_type
from ..errors import SiteError, SiteTypeError
from .escape_messenger import EscapeMessenger
from .replay_messenger import ReplayMessenger
from .runtime import NonlocalExit
from .trace_messenger import TraceMessenger
from .trace_struct import Trace
from .util import discrete_escape, enum_extend


class QueueHandler:
    """A program whose every call completes one partial trace of a queue; see :func:`queue`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        queue: Any,
        max_tries: int,
        extend_fn: Callable[..., list[Trace]],
        escape_fn: Callable[..., bool],
        num_samples: int,
    ) -> None:
        self.fn = fn
        self.queue = queue
        self.max_tries = max_tries
        self.extend_fn = extend_fn
        self.escape_fn = escape_fn
        self.num_samples = num_samples
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for _ in range(self.max_tries):
            if self.queue.empty():
                raise SiteError("the queue is empty: put a Trace() into it before the first call")
            partial = self.queue.get()
            escape = EscapeMessenger(functools.partial(self.escape_fn, partial))
            recorded = TraceMessenger()(escape(ReplayMessenger(partial)(self.fn)))
            try:
                return recorded(*args, **kwargs)
            except NonlocalExit as left:
                left.reset_stack()
                for longer in self.extend_fn(recorded.trace, left.site, self.num_samples):
                    self.queue.put(longer)
        raise SiteError(
            f"queue found no complete trace in max_tries={self.max_tries} attempts; allow more, or "
            "let escape_fn leave at fewer sites"
        )


@named("queue")
def queue(
    fn: Callable[..., Any] | None = None,
    queue: Any = None,
    max_tries: int | None = None,
    extend_fn: Callable[..., list[Trace]] | None = None,
    escape_fn: Callable[..., bool] | None = None,
    num_samples: int | None = None,
) -> Any:
    """Enumerate a program sequentially: each call completes one partial trace of a queue.

    A call takes a trace from the queue and replays it. At the first site for which ``escape_fn``
    holds it stops, puts longer traces into the queue, one for each value that ``extend_fn`` finds,
    and tries the next. Calls until the queue is empty visit every combination of values. Usable as
    wrapper and as decorator.

    Args:
        fn: A stochastic function.
        queue: Has ``put``, ``get`` and ``empty``, such as ``queue.Queue``; begins with ``Trace()``.
        max_tries: How many partial traces one call may take; default: a million.
        extend_fn: Called with a trace, a site and ``num_samples``; returns longer traces. Default:
            :func:`~ppl.poutine.util.enum_extend`.
        escape_fn: Called with the partial trace and a site; returns whether to stop there.
            Default: :func:`~ppl.poutine.util.discrete_escape`.
        num_samples: How many longer traces ``extend_fn`` may return; default -1: all.

    Raises:
        SiteError: If the queue is empty, or ``max_tries`` traces are all incomplete.

    Example:
        >>> from queue import Queue
        >>> from torch.distributions import Bernoulli
        >>> from ppl.primitives import sample
        >>> traces = Queue()
        >>> traces.put(Trace())
        >>> wrapped = queue(lambda: sample("x", Bernoulli(0.5)).item(), queue=traces)
        >>> [wrapped(), wrapped(), traces.empty()]
        [0.0, 1.0, True]
    """
    if fn is not None and not callable(fn):
        raise SiteTypeError(f"queue wraps a callable, got {fn!r}; pass the queue by keyword")
    if queue is None:
        raise SiteError("queue needs a queue of partial traces: queue(model, queue=Queue())")
    if not all(hasattr(queue, method) for method in ("get", "empty")):
        raise wrong_type("queue", "a queue such as queue.Queue()", queue)
    function("extend_fn of queue", extend_fn), function("escape_fn of queue", escape_fn)
    options = {
        "queue": queue,
        "max_tries": integer("max_tries of queue", 1_000_000 if max_tries is None else max_tries),
        "extend_fn": extend_fn or enum_extend,
        "escape_fn": escape_fn or discrete_escape,
        "num_samples": -1 if num_samples is None else integer("num_samples of queue", num_samples),
    }
    return functools.partial(QueueHandler, **options) if fn is None else QueueHandler(fn, **options)
