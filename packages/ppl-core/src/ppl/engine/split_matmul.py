"""Large matrix products of a recorded program in parts that run on several threads.

A regression on many rows multiplies them by the parameters of a few chains.  Libraries for linear
algebra compute such a flat product on one thread, however long it is; a batch of its parts they
share out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from .batch_first_matmul import is_dense

aten: Any = torch.ops.aten
LARGE = 10**6  # multiplications: smaller products are over before other threads wake up


def split_products(program: GraphModule, num_threads: int) -> GraphModule:
    """Change a recorded program in place: large matrix products become batches of parts.

    Example:
        >>> from ppl.engine import record
        >>> data = torch.ones(2000, 200)
        >>> program = record(lambda w: w @ data.mT, torch.ones(4, 200))
        >>> split_products(program, num_threads=2).graph.find_nodes(
        ...     op="call_function", target=by_columns
        ... )
        [mm]
    """
    for product in program.graph.find_nodes(op="call_function", target=aten.mm.default):
        if not is_dense(product):
            continue
        (rows, inner), (_, columns) = (factor.meta["val"].shape for factor in product.args)
        longest = max(rows, inner, columns)
        parts = _num_parts(longest, num_threads)
        if rows * inner * columns >= LARGE and longest in (inner, columns) and parts > 1:
            product.target = by_columns if longest == columns else by_terms
            product.args = (*product.args, parts)
    program.recompile()
    return program


split_products.operation = aten.mm.default  # type: ignore[attr-defined]


def by_columns(a: Tensor, b: Tensor, parts: int) -> Tensor:
    """Return ``a @ b``, a part of the columns at a time."""
    columns = b.mT.unflatten(0, (parts, -1)).mT  # (part, inner, column)
    return torch.bmm(a.expand(parts, -1, -1), columns).transpose(0, 1).flatten(1)


def by_terms(a: Tensor, b: Tensor, parts: int) -> Tensor:
    """Return ``a @ b``, a part of the terms of each sum at a time."""
    left = a.unflatten(1, (parts, -1)).transpose(0, 1)  # (part, row, term)
    return torch.bmm(left, b.unflatten(0, (parts, -1))).sum(0)


def _num_parts(length: int, num_threads: int) -> int:
    """Return how many equal parts there are to be, some for each thread; 1 if that cannot be."""
    if num_threads == 1:
        return 1
    return max(parts for parts in range(1, 4 * num_threads + 1) if length % parts == 0)
