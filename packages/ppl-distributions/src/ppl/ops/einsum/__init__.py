"""Contraction of tensors along the best path, over the ring that a backend stands for.

The backends ``ppl.ops.einsum.torch_log``, ``torch_map``, ``torch_sample`` and ``torch_marginal``
work with logarithms; ``"torch"`` is ordinary arithmetic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import opt_einsum
from torch import Tensor


def contract(equation: str, *operands: Tensor, **kwargs: Any) -> Tensor:
    """Return one contraction of tensors, like ``opt_einsum.contract``; the path is remembered.

    Args:
        equation: Such as ``"ab,bc->ac"``.
        operands: One tensor for each input of the equation.
        kwargs: Options of ``opt_einsum``, such as ``optimize``; ``backend`` is one of this package
            or ``"torch"``, the default.

    Example:
        >>> import torch
        >>> contract("ab,b->a", torch.eye(2), torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    backend = kwargs.pop("backend", "torch")
    expression = contract_expression(equation, *(tuple(x.shape) for x in operands), **kwargs)
    result: Tensor = expression(*operands, backend=backend)
    return result


def contract_expression(equation: str, *shapes: tuple[int, ...], **kwargs: Any) -> Any:
    """Return a function of tensors of the given shapes, like ``opt_einsum.contract_expression``.

    The search for a path is done once for the same arguments; ``cache_path=False`` does it again.
    """
    if not kwargs.pop("cache_path", True):
        return opt_einsum.contract_expression(equation, *shapes, **kwargs)
    return _expression(equation, shapes, tuple(sorted(kwargs.items())))


@lru_cache(maxsize=1024)
def _expression(
    equation: str, shapes: tuple[tuple[int, ...], ...], options: tuple[tuple[str, Any], ...]
) -> Any:
    return opt_einsum.contract_expression(equation, *shapes, **dict(options))
