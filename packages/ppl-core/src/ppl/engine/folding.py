"""What a recorded program computes from its constants alone, computed once.

A model takes the logarithms of its data and of the scales of its priors at each execution; a
replay need not.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from .recording import has_effect

aten: Any = torch.ops.aten
PRODUCTS = {aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default}
LARGEST = 2**24  # numbers: what has more is not computed ahead
Values = dict[Node, Tensor]


def fold_constants(program: GraphModule) -> GraphModule:
    """Change a recorded program in place: what depends on no argument becomes a constant.

    What is larger than the constants it is made of stays, unless it is a factor of a matrix
    product: a compiler makes it where it is used, and to read it would take longer.  Later changes
    of the constants are not seen any more, and a program that itself writes into tensors is left
    alone.

    Example:
        >>> from ppl.engine import record
        >>> data = torch.ones(3)
        >>> program = record(lambda x: x * data.exp().log().sum(), data)
        >>> [node.name for node in fold_constants(program).graph.nodes]
        ['x_1', 'folded_sum_1', 'mul', 'output']
    """
    if any(_writes(node) for node in program.graph.nodes):
        return program
    values, given = _constants(program)
    computed = set(program.graph.nodes) - values.keys()
    for node in reversed(values):
        if node.op == "get_attr" or computed.isdisjoint(node.users):
            continue
        if values[node].numel() <= given[node] or PRODUCTS & {user.target for user in node.users}:
            _replace(program, node, values[node])
        else:
            computed.add(node)
    program.graph.eliminate_dead_code(has_effect)
    program.recompile()
    return program


def _constants(program: GraphModule) -> tuple[Values, dict[Node, int]]:
    """Return what depends on no argument, and how many numbers the program holds for each."""
    values: Values = {}
    held: dict[Node, set[Node]] = {}
    for node in program.graph.nodes:
        value = _value(program, node, values)
        if isinstance(value, Tensor):
            values[node] = value
            held[node] = {node}.union(*(held[source] for source in node.all_input_nodes))
    given = {
        node: sum(values[source].numel() for source in sources if source.op == "get_attr")
        for node, sources in held.items()
    }
    return values, given


def _value(program: GraphModule, node: Node, values: Values) -> object:
    """Return the value of a node that depends on no argument, None for others."""
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(program)
    sources = node.all_input_nodes
    is_given = bool(sources) or node.target is aten.scalar_tensor.default
    if not (is_given and values.keys() >= {*sources} and _is_pure(node)):
        return None
    expected = node.meta.get("val")
    if isinstance(expected, Tensor) and expected.numel() > LARGEST:
        return None
    assert callable(node.target)
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    value: object = node.target(*args, **kwargs)
    return value


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
