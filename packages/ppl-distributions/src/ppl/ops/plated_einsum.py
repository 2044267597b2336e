"""Einsum over plates, by variable elimination."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from ppl.errors import warn

from .einsum.adjoint import attach_backward
from .elimination import Ordinal, marginal
from .packed import align, sizes_of
from .plated_equation import PlatedEquation
from .rings import BACKEND_TO_RING, Cache, Ring


def einsum(
    equation: str,
    *operands: Tensor,
    plates: str = "",
    backend: str = "torch",
    cache: Cache | None = None,
    modulo_total: bool = False,
) -> tuple[Tensor, ...]:
    """Return sums of products of tensors, where a plate stands for a product instead of a sum.

    Args:
        equation: Inputs and outputs, such as ``"a,ai,bi->a,bi"``. Symbols that are missing in an
            output are summed out, or multiplied out if they are plates. A variable that always
            comes with a plate is another variable in each slice of the plate; an output with such
            a variable has its plates, too.
        operands: One tensor for each input.
        plates: The symbols of the plates.
        backend: ``"torch"`` for numbers; ``"ppl.ops.einsum.torch_log"`` for logarithms, or
            ``torch_map``, ``torch_sample`` or ``torch_marginal`` there.
        cache: Shared by calls with the same operands, to do the same work only once.
        modulo_total: Whether each plate slice of an output may be off by a constant factor, which
            saves work if it is to be normalized anyway.

    Returns:
        One tensor for each output.

    Raises:
        IntractableError: If the cost would be exponential in the size of a plate.
        ShapeError: If sizes disagree, or an output has a variable without its plates.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([0.5, 0.5]), torch.tensor([[0.1, 0.3], [0.2, 0.2]])
        >>> einsum("a,ai->", x, y, plates="i")  # (0.1 * 0.3 + 0.2 * 0.2) / 2
        (tensor(0.0350),)
        >>> einsum("ab,bc->ac,b", torch.eye(2), torch.ones(2, 1))
        (tensor([[1.],
                [1.]]), tensor([1., 1.]))
    """
    problem = PlatedEquation.parse(equation, plates)
    cache = {} if cache is None else cache
    factors = problem.factors(operands)
    results = []
    for output in problem.outputs:
        ring = BACKEND_TO_RING[backend](cache, sizes_of(factors))
        contract = partial(_contract, problem, output, modulo_total)
        results.append(contract(ring, factors))
        attach_backward(results[-1], ring, factors, operands, contract)
    return tuple(results)


def ubersum(equation: str, *operands: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    """Return :func:`einsum` of logarithms.

    Args:
        equation: As of :func:`einsum`.
        operands: Logarithms.
        kwargs: As of :func:`einsum`; ``batch_dims`` is an old name of ``plates``.
    """
    if "batch_dims" in kwargs:
        warn("batch_dims is an old name: call ubersum(..., plates=...)", DeprecationWarning)
        kwargs["plates"] = kwargs.pop("batch_dims")
    return einsum(equation, *operands, **{"backend": "ppl.ops.einsum.torch_log", **kwargs})


def _contract(
    problem: PlatedEquation, output: str, modulo_total: bool, ring: Ring, factors: Sequence[Tensor]
) -> Tensor:
    ordinal = problem.plates.intersection(output)
    result = marginal(
        problem.tree(factors),
        problem.variables,
        target_ordinal=ordinal,
        target_dims=problem.variables.intersection(output),
        resting=ordinal if modulo_total else Ordinal(),
        ring=ring,
    )
    return align(result, output)
