"""``trace``: record an execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ..arguments import wrong_type
from ..errors import PPLError
from .messenger import Messenger, _BoundMessenger
from .program_errors import add_context
from .trace_struct import Trace

GraphType = Literal["flat", "dense"]


class TraceMessenger(Messenger):
    """Records the sample and param sites of a program in a :class:`~ppl.poutine.Trace`.

    Args:
        graph_type: "flat" (default), or "dense" to record possible dependencies as edges.
        param_only: Record parameters only.
    """

    _keeps_notes = True

    def __init__(self, graph_type: GraphType | None = None, param_only: bool | None = None) -> None:
        if param_only is not None and not isinstance(param_only, bool):
            raise wrong_type("param_only of trace", "a bool", param_only)
        self.graph_type: GraphType = graph_type or "flat"
        self.param_only: bool = bool(param_only)
        self.trace: Trace = Trace(self.graph_type)

    def __enter__(self) -> TraceMessenger:
        self.trace = Trace(self.graph_type)
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        if self.param_only:
            for name, site in list(self.trace.nodes.items()):
                if site["type"] != "param":
                    self.trace.remove_node(name)
        if self.graph_type == "dense":
            identify_dense_edges(self.trace)
        return super().__exit__(*exception)

    def __call__(self, fn: Callable[..., Any]) -> TraceHandler:
        """Return a :class:`TraceHandler` of ``fn``."""
        return TraceHandler(self, fn)

    def get_trace(self) -> Trace:
        """Return a copy of the trace of the last execution."""
        return self.trace.copy()

    def _reset(self) -> None:
        arguments = self.trace.nodes.get("_INPUT")
        self.trace = Trace(self.graph_type)
        if arguments is not None:
            self.trace.add_node("_INPUT", **arguments)

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if not (self.param_only or msg["infer"].get("_do_not_trace") or "_unrecorded" in msg):
            self.trace.record(msg)

    def _pyro_post_param(self, msg: dict[str, Any]) -> None:
        self.trace.record(msg)


class TraceHandler(_BoundMessenger):
    """A program together with the record of its last execution."""

    messenger: TraceMessenger

    def __init__(self, msngr: TraceMessenger, fn: Callable[..., Any]) -> None:
        super().__init__(msngr, fn)
        self.msngr = msngr

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(args, kwargs)[1]

    @property
    def trace(self) -> Trace:
        """The trace of the last execution."""
        return self.msngr.trace

    def get_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Run the program with these arguments and return its trace."""
        return self._run(args, kwargs)[0]

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Trace, Any]:
        recorder = self.msngr._for_one_call()
        try:
            with recorder:
                value = self._record(recorder, args, kwargs)
        finally:
            self.msngr.trace = recorder.trace
        return recorder.trace, value

    def _record(
        self, recorder: TraceMessenger, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder.trace.program = self.fn
        recorder.trace.add_node("_INPUT", name="_INPUT", type="args", args=args, kwargs=kwargs)
        try:
            value = self.fn(*args, **kwargs)
        except (ValueError, RuntimeError, TypeError, AttributeError, PPLError) as error:
            add_context(error, recorder.trace)
            raise
        recorder.trace.add_node("_RETURN", name="_RETURN", type="return", value=value)
        return value


def identify_dense_edges(trace: Trace) -> None:
    """Add an edge between every two sample sites that plates do not make independent, in place."""
    names = [name for name, site in trace.nodes.items() if site["type"] == "sample"]
    for later, name in enumerate(names):
        for past in names[:later]:
            if not _independent(trace.nodes[past], trace.nodes[name]):
                trace.add_edge(past, name)


def _independent(past: dict[str, Any], site: dict[str, Any]) -> bool:
    """Whether both sites lie in different iterations of one sequential plate."""
    counters = {frame.name: frame.counter for frame in past["cond_indep_stack"]}
    return any(
        counters.get(frame.name, frame.counter) != frame.counter
        for frame in site["cond_indep_stack"]
    )
