"""A picture of which sites of a program may depend on which."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import MissingDistributionError

if TYPE_CHECKING:
    from .poutine.trace_struct import Trace


def save_visualization(trace: Trace, graph_output: str) -> None:
    """Draw a trace into the file ``graph_output + ".pdf"``.

    Observed sites are green, latent ones grey, those without reparametrized samples salmon.

    Args:
        trace: A trace with ``graph_type="dense"``, which has edges.
        graph_output: The name of the file, without its ending.

    Raises:
        MissingDistributionError: If the package ``graphviz`` is not installed.
    """
    try:
        graphviz: Any = importlib.import_module("graphviz")
    except ImportError:
        raise MissingDistributionError(
            "save_visualization needs the package graphviz, which is not installed: pip install "
            "graphviz (and the program dot, from your system's packages)"
        ) from None
    graphviz.Source(dot(trace)).render(graph_output, format="pdf", cleanup=True)


def dot(trace: Trace) -> str:
    """Return the graph of the sample sites of a trace in the language of graphviz."""
    sites = {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
    nodes = [f"{_quoted(n)} [style=filled fillcolor={_color(site)}]" for n, site in sites.items()]
    arrows = [f"{_quoted(a)} -> {_quoted(b)}" for a, b in trace.edges if {a, b} <= set(sites)]
    return "\n".join(["digraph {", *nodes, *arrows, "}"])


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _color(site: dict[str, Any]) -> str:
    if site["is_observed"]:
        return "darkolivegreen3"
    return "grey" if getattr(site["fn"], "has_rsample", False) else "salmon"
