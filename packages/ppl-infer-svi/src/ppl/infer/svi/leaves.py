"""The unconstrained leaves of the parameters of an execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import ppl.poutine as poutine


def leaves_of(trace: poutine.Trace) -> dict[str, Tensor]:
    """Return the leaves of all parameters of an execution by name, each once, in order."""
    return leaves_behind({name: trace.nodes[name] for name in trace.param_nodes})


def leaves_behind(nodes: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the leaves of param statements by name, each once, in order."""
    leaves = {name: node["value"].unconstrained() for name, node in nodes.items()}
    first = {id(leaf): name for name, leaf in reversed(leaves.items())}
    return {name: leaf for name, leaf in leaves.items() if first[id(leaf)] == name}
