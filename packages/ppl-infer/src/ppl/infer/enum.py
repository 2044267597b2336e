"""Marks for the sites that inference enumerates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import LifoQueue
from typing import Any, Literal

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.poutine.util import site_is_subsample

Site = dict[str, Any]


def config_enumerate(
    guide: Callable[..., Any] | None = None,
    default: Literal["sequential", "parallel"] | None = "parallel",
    expand: bool = False,
    num_samples: int | None = None,
    tmc: Literal["diagonal", "mixture"] = "diagonal",
) -> Any:
    """Mark the latent sites of a program for enumeration; also a decorator.

    Marked are the sites with a finite support, or all sites if values shall be drawn.  A site that
    has a mark already keeps it.

    Args:
        guide: The program, a guide or a model.
        default: How the sites are enumerated: "parallel", along a tensor dimension; "sequential",
            in one execution for each value; None, not at all.
        expand: Whether the values have the full batch shape of their distribution.
        num_samples: Draw so many values of each site instead, if enumeration is parallel (local
            Monte Carlo).
        tmc: Which values of the parents belong to drawn ones: "diagonal" or "mixture"; see
            ``poutine.enum``.

    Raises:
        SiteError: If an argument has another value, or `num_samples` is not for parallel
            enumeration.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> @config_enumerate
        ... def model():
        ...     return sample("z", dist.Bernoulli(0.5))
        >>> poutine.enum(model, first_available_dim=-1)()
        tensor([0., 1.])
    """
    _check(default, num_samples, tmc)
    marks = {"enumerate": default, "expand": expand, "num_samples": num_samples, "tmc": tmc}

    def config(site: Site) -> dict[str, Any]:
        infer = site["infer"]
        if not _can_be_marked(site, num_samples) or infer.get("enumerate") is not None:
            return {}
        return {key: infer.get(key, mark) for key, mark in marks.items()}

    handler = poutine.infer_config(config_fn=config)
    return handler if guide is None else handler(guide)


def iter_discrete_traces(
    graph_type: Literal["flat", "dense"], fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> Iterator[poutine.Trace]:
    """Iterate over the traces of a program at all values of its sequentially enumerated sites.

    Args:
        graph_type: "flat" or "dense", as of ``poutine.trace``.
        fn: The program; its sites marked ``infer={"enumerate": "sequential"}`` are enumerated.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     x = sample("x", dist.Bernoulli(0.5))
        ...     sample("y", dist.Categorical(torch.ones(2 + int(x))))
        >>> import torch
        >>> traces = iter_discrete_traces("flat", config_enumerate(model, default="sequential"))
        >>> sorted(int(trace.nodes["y"]["value"]) for trace in traces)
        [0, 0, 1, 1, 2]
    """
    queue: LifoQueue[poutine.Trace] = LifoQueue()
    queue.put(poutine.Trace())
    complete = poutine.queue(fn, queue, escape_fn=_is_sequential)
    while not queue.empty():
        yield poutine.trace(complete, graph_type=graph_type).get_trace(*args, **kwargs)


def _is_sequential(trace: poutine.Trace, site: Site) -> bool:
    wanted = site["infer"].get("enumerate") == "sequential"
    return wanted and poutine.util.discrete_escape(trace, site)


def _can_be_marked(site: Site, num_samples: int | None) -> bool:
    if site["type"] != "sample" or site["is_observed"] or site_is_subsample(site):
        return False
    return num_samples is not None or bool(getattr(site["fn"], "has_enumerate_support", False))


def _check(default: str | None, num_samples: int | None, tmc: str) -> None:
    if default not in (None, "sequential", "parallel"):
        raise SiteError(f"default must be 'sequential', 'parallel' or None, got {default!r}")
    if tmc not in ("diagonal", "mixture"):
        raise SiteError(f"tmc must be 'diagonal' or 'mixture', got {tmc!r}")
    if num_samples is not None and (default != "parallel" or num_samples < 1):
        raise SiteError(
            "num_samples must be positive and is for default='parallel', got "
            f"num_samples={num_samples} and default={default!r}"
        )
