"""Failed matrix factorizations as nan instead of an exception, in a recorded program.

``torch.linalg.cholesky`` of a matrix that is not positive definite raises an error, for all chains
of a batch if one fails.  For a sampler it is a point without density: a divergence of one chain.
"""

from __future__ import annotations

import operator

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten


def fail_with_nan(program: GraphModule) -> GraphModule:
    """Change a recorded program in place: what a failed factorization returns becomes nan."""
    checks = [n for n in program.graph.nodes if n.target is aten._linalg_check_errors.default]
    for check in checks:
        info: Node = check.args[0]
        program.graph.erase_node(check)
        _poison(program, info)
    program.recompile()
    return program


def _poison(program: GraphModule, info: Node) -> None:
    """Replace the factors that belong to an error code by nan where the code is not zero."""
    factorization = info.args[0]
    assert isinstance(factorization, Node)
    for factor in list(factorization.users):
        if factor.target is operator.getitem and factor.meta["val"].is_floating_point():
            _poison_factor(program, factor, info)


def _poison_factor(program: GraphModule, factor: Node, info: Node) -> None:
    call = program.graph.call_function
    with program.graph.inserting_before(max(factor, info).next):
        failed = call(aten.ne.Scalar, (info, 0))
        for _ in range(factor.meta["val"].dim() - info.meta["val"].dim()):
            failed = call(aten.unsqueeze.default, (failed, -1))
        poisoned = call(aten.masked_fill.Scalar, (factor, failed, torch.nan))
    factor.replace_all_uses_with(poisoned, delete_user_cb=lambda user: user is not poisoned)
