"""Failed matrix factorizations as nan instead of an exception, in a recorded program.

``torch.linalg.cholesky`` of a matrix that is not positive definite raises an error, for all chains
of a batch if one fails.  For a sampler it is a point without density: a divergence of one chain.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._python_dispatch import TorchDispatchMode

aten: Any = torch.ops.aten
FINITE_ONLY = {  # raise an error where a matrix is not finite
    aten.linalg_eig.default,
    aten.linalg_eigvals.default,
    aten._linalg_eigvals.default,
}


def fail_with_nan(program: GraphModule) -> GraphModule:
    """Change a recorded program in place: what a failed factorization returns becomes nan."""
    checks = [n for n in program.graph.nodes if n.target is aten._linalg_check_errors.default]
    for check in checks:
        info: Node = check.args[0]
        program.graph.erase_node(check)
        _poison(program, info)
    for node in [n for n in program.graph.nodes if n.target in FINITE_ONLY]:
        _guard(program, node)
    program.recompile()
    return program


def factorizes_infinity(fn: Callable[[Tensor], Any], argument: Tensor) -> bool:
    """Return whether a function fails since it decomposes a matrix with infinite or nan entries."""
    try:
        with FiniteMatrices():  # type: ignore[no-untyped-call]
            fn(argument)
    except _InfiniteMatrixError:
        return True
    except RuntimeError:  # another error
        return False
    return False


class _InfiniteMatrixError(RuntimeError):
    pass


class FiniteMatrices(TorchDispatchMode):
    """Raises an error where torch would die: ``eigvals`` of infinity is a segmentation fault."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in FINITE_ONLY and not bool(args[0].isfinite().all()):
            raise _InfiniteMatrixError(f"{func.__name__} of a matrix that is not finite")
        return func(*args, **(kwargs or {}))


def _guard(program: GraphModule, decomposition: Node) -> None:
    """Decompose zeros instead of matrices that are not finite, and return nan for them."""
    call, matrix = program.graph.call_function, decomposition.all_input_nodes[0]
    with program.graph.inserting_before(decomposition):
        is_finite = call(aten.isfinite.default, (matrix,))
        for _ in range(2):
            is_finite = call(aten.all.dim, (is_finite, -1))
        failed = call(aten.logical_not.default, (is_finite,))
        wide = call(aten.unsqueeze.default, (call(aten.unsqueeze.default, (failed, -1)), -1))
        decomposition.replace_input_with(matrix, call(aten.masked_fill.Scalar, (matrix, wide, 0)))
    batch_dim = matrix.meta["val"].dim() - 2
    is_single = isinstance(decomposition.meta["val"], Tensor)
    factors = [decomposition] if is_single else list(decomposition.users)
    for factor in factors:
        _fill(program, factor, failed, factor.meta["val"].dim() - batch_dim, factor.next)


def _poison(program: GraphModule, info: Node) -> None:
    """Replace the factors that belong to an error code by nan where the code is not zero."""
    factorization = info.args[0]
    assert isinstance(factorization, Node)
    for factor in list(factorization.users):
        if factor.target is operator.getitem and factor.meta["val"].is_floating_point():
            _poison_factor(program, factor, info)


def _poison_factor(program: GraphModule, factor: Node, info: Node) -> None:
    after = max(factor, info).next
    with program.graph.inserting_before(after):
        failed = program.graph.call_function(aten.ne.Scalar, (info, 0))
    _fill(program, factor, failed, factor.meta["val"].dim() - info.meta["val"].dim(), after)


def _fill(program: GraphModule, factor: Node, failed: Node, event_dim: int, after: Node) -> None:
    """Replace a factor by nan where its factorization failed."""
    call = program.graph.call_function
    with program.graph.inserting_before(after):
        for _ in range(event_dim):
            failed = call(aten.unsqueeze.default, (failed, -1))
        poisoned = call(aten.masked_fill.Scalar, (factor, failed, torch.nan))
    poisoned.meta["val"] = factor.meta["val"]
    factor.replace_all_uses_with(poisoned, delete_user_cb=lambda user: user is not poisoned)
