"""What a recorded program computes from its constants alone, computed once.

A model takes the logarithms of its data and of the scales of its priors at each execution; a
replay need not.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from .recording import has_effect

Values = dict[Node, Tensor]


def fold_constants(program: GraphModule) -> GraphModule:
    """Change a recorded program in place: what depends on no argument becomes a constant.

    What is larger than the constants it is made of stays: to read it would take longer than to make
    it.  Later changes of the constants are not seen any more, and a program that itself writes into
    tensors is left alone.

    Example:
        >>> from ppl.capture import record
        >>> data = torch.ones(3)
        >>> program = record(lambda x: x * data.exp().log().sum(), data)
        >>> [node.name for node in fold_constants(program).graph.nodes]
        ['x_1', 'folded_sum_1', 'mul', 'output']
    """
    if any(_writes(node) for node in program.graph.nodes):
        return program
    values: Values = {}
    for node in program.graph.nodes:
        value = _value(program, node, values)
        if isinstance(value, Tensor):
            values[node] = value
    for node, value in values.items():
        if node.op == "call_function" and not values.keys() >= node.users.keys():
            _replace(program, node, value)
    program.graph.eliminate_dead_code(has_effect)
    program.recompile()
    return program


def _value(program: GraphModule, node: Node, values: Values) -> object:
    """Return the value of a node that is a constant or worth being one, None for others."""
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(program)
    sources = node.all_input_nodes
    if not (sources and values.keys() >= {*sources} and _is_pure(node)):
        return None
    assert callable(node.target)
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    value = node.target(*args, **kwargs)
    is_larger = isinstance(value, Tensor) and value.numel() > sum(
        values[source].numel() for source in sources
    )
    return None if is_larger else value


def _replace(program: GraphModule, node: Node, value: Tensor) -> None:
    name = f"folded_{node.name}"
    program.register_buffer(name, value.detach())
    with program.graph.inserting_before(node):
        constant = program.graph.get_attr(name)
    constant.meta.update(node.meta)
    node.replace_all_uses_with(constant)


def _is_pure(node: Node) -> bool:
    operation = node.target
    if not isinstance(operation, torch._ops.OpOverload):
        return False
    return torch.Tag.nondeterministic_seeded not in operation.tags


def _writes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
