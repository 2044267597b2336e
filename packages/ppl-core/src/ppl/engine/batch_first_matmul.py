"""Matrix products of a recorded program the way round that leaves the batch in front.

A model multiplies its data by a vector, ``x @ w``.  For a batch of vectors ``torch.func.vmap``
makes of that the matrix product ``x @ w.mT`` and turns the result round, so that what follows runs
along the batch: slowly, if the batch is small.  ``w @ x.mT`` has the same numbers in the right
order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

aten: Any = torch.ops.aten


def batch_first(program: GraphModule) -> GraphModule:
    """Change a recorded program in place: ``x @ w.mT`` becomes a transposed ``w @ x.mT``."""
    for product in program.graph.find_nodes(op="call_function", target=aten.mm.default):
        right: Any = product.args[1]
        if is_dense(product) and _is_transpose(right) and right.args[0].op != "get_attr":
            _turn_round(program, product)
    program.graph.eliminate_dead_code()
    program.recompile()
    return program


batch_first.operation = aten.mm.default  # type: ignore[attr-defined]


def is_dense(operation: Node) -> bool:
    """Return whether what an operation takes and returns is known to be dense: not sparse."""
    nodes = (operation, *operation.all_input_nodes)
    return all(isinstance(node.meta.get("val"), Tensor) for node in nodes)


def _turn_round(program: GraphModule, product: Node) -> None:
    factors: Any = product.args
    left, right = factors
    with program.graph.inserting_before(product):
        turned = program.graph.call_function(
            aten.mm.default, (right.args[0], _transpose(program, left))
        )
        turned.meta["val"] = product.meta["val"].mT
        as_before = _transpose(program, turned)
    for user in list(product.users):
        if _is_transpose(user):
            user.replace_all_uses_with(turned)
    product.replace_all_uses_with(as_before)


def _transpose(program: GraphModule, factor: Any) -> Any:
    if _is_transpose(factor):
        return factor.args[0]
    turned = program.graph.call_function(aten.permute.default, (factor, [1, 0]))
    turned.meta["val"] = factor.meta["val"].mT
    return turned


def _is_transpose(node: Any) -> bool:
    is_permutation = node.target is aten.permute.default and list(node.args[1]) == [1, 0]
    return is_permutation or node.target is aten.t.default
