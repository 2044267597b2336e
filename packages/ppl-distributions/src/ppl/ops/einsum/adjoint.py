"""What a contraction says about its operands: marginals and assignments of their variables.

Mark operands before the contraction, and ask a result for its backward pass afterwards::

    require_backward(x)
    (z,) = einsum("ab,b->", x, y, backend="ppl.ops.einsum.torch_sample")
    z._pyro_backward()
    x._pyro_backward_result  # indices of a and b, drawn from the normalized product
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ppl.ops.packed import broadcast_all, dims_of, sizes_of, with_dims
from ppl.ops.rings import ChoiceRing, MarginalRing, Ring

Contraction = Callable[[Ring, Sequence[Tensor]], Tensor]


def require_backward(tensor: Tensor) -> None:
    """Ask backward passes for a result about ``tensor``, its attribute ``_pyro_backward_result``.

    The backend ``torch_marginal`` gives the logarithm of the product of all factors, summed over
    the variables that ``tensor`` lacks. The backends ``torch_sample`` and ``torch_map`` give the
    indices of the variables of ``tensor``, shape ``(variable, *plates)``; the attribute
    ``_pyro_sample_dims`` of that result has the symbols of the variables.
    """
    tensor._pyro_backward_result = None  # type: ignore[attr-defined]


def attach_backward(
    result: Tensor,
    ring: Ring,
    factors: Sequence[Tensor],
    operands: Sequence[Tensor],
    contract: Contraction,
) -> None:
    """Give a result the method ``_pyro_backward`` if its ring has a backward pass.

    Args:
        result: What ``contract(ring, factors)`` gave.
        ring: Its arithmetic.
        factors: The operands, packed.
        operands: The tensors that may have been marked.
        contract: The contraction.
    """

    def backward() -> None:
        if isinstance(ring, ChoiceRing):
            indices = ring.assignment()
            answers = [_indices_of(factor, indices) for factor in factors]
        else:
            answers = [*_log_marginals(contract, factors)]
        for operand, answer in zip(operands, answers, strict=True):
            if hasattr(operand, "_pyro_backward_result"):
                operand._pyro_backward_result = answer

    if isinstance(ring, ChoiceRing | MarginalRing):
        result._pyro_backward = backward  # type: ignore[attr-defined]


def _indices_of(factor: Tensor, indices: dict[str, Tensor]) -> Tensor | None:
    dims = "".join(dim for dim in dims_of(factor) if dim in indices)
    if not dims:
        return None
    answer = torch.stack(broadcast_all(*(indices[dim] for dim in dims)))
    answer._pyro_sample_dims = dims  # type: ignore[attr-defined]
    return answer


def _log_marginals(contract: Contraction, factors: Sequence[Tensor]) -> list[Tensor]:
    """Return the log marginals, as gradients of the log partition function in its factors."""

    def log_total_of(*tensors: Tensor) -> Tensor:
        named = [with_dims(x, dims_of(y)) for x, y in zip(tensors, factors, strict=True)]
        return contract(MarginalRing(dim_to_size=sizes_of(factors)), named)

    log_total, pull = torch.func.vjp(log_total_of, *factors)[:2]
    shift = log_total.amax()
    return [share.log() + shift for share in pull((log_total - shift).exp())]
