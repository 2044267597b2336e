"""Products of the transition matrices of a long Markov chain with finitely many states."""

from __future__ import annotations

import torch
from torch import Tensor

from .log_space import FLOOR, log_matmul_exp, may_look_at
from .matrices import matmul
from .scan import Sequence, associative_reduce

_HIGH = 100.0  # up to which entries do not add to what the floor allows to be lost


def log_chain(moves: Tensor, likelihood: Tensor) -> Tensor:
    """Return the log of the product over time of ``exp(moves) @ diag(exp(likelihood))``.

    It is exact however far apart the paths are. Positive matrices are multiplied as they are, in a
    fraction of the time that their logarithms take; the latter are for products that come out too
    small, and for programs that are recorded, compiled or vectorized, which cannot look at them.

    Args:
        moves: Log probabilities of transitions (from, to), shape ``(*batch, time, n, n)``, or with
            time of size 1, or without.
        likelihood: Of the state after each transition (nats), shape ``(*batch, time, n)``.

    Returns:
        Shape ``(*batch, n, n)``.

    Example:
        >>> import torch
        >>> log_chain(torch.eye(2).log(), torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        tensor([[2., -inf],
                [-inf, 4.]])
    """
    if may_look_at(likelihood) and likelihood.numel():
        moves = moves.to(torch.promote_types(moves.dtype, likelihood.dtype))
        matrices = moves.exp() if moves.dim() > 2 else moves.exp().unsqueeze(0)
        if matrices.detach().amin() > FLOOR[moves.dtype]:
            chain = _PositiveChain(matrices, likelihood)
            if chain.is_exact:
                return chain.log()
    steps = moves + likelihood.unsqueeze(-2)
    (product,) = associative_reduce(_log_matmul_exp, Sequence((steps,), (2,)))
    return product.squeeze(-3)


def _log_matmul_exp(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (log_matmul_exp(x[0], y[0]),)


class _PositiveChain:
    """The product of positive matrices, each to be followed by a diagonal one.

    A partial product is without its last diagonal, so that no state is so unlikely that its column
    is lost, and is scaled when its entries leave the middle of the range.

    Attributes:
        is_exact: Whether no entry came out so small that it is wrong.
    """

    def __init__(self, matrices: Tensor, likelihood: Tensor) -> None:
        peak = likelihood.detach().amax(-1, keepdim=True)
        relative = likelihood - peak
        self.floor = FLOOR[matrices.dtype]
        self.is_exact = True
        self.log_scale = peak.sum((-2, -1))
        self.log_last = relative[..., -1:, :]
        sequence = Sequence((matrices, relative.exp()), (2, 1))
        self.product, _ = associative_reduce(self._combine, sequence)

    def log(self) -> Tensor:
        """Return the logarithm of the product with its last diagonal matrix."""
        log_scale = self.log_scale.unsqueeze(-1).unsqueeze(-1)
        return self.product.log().squeeze(-3) + (self.log_last + log_scale)

    def _combine(self, x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        product = matmul(x[0] * x[1].unsqueeze(-2), y[0])
        low, high = (bound.item() for bound in product.detach().aminmax())
        self.is_exact &= low > self.floor  # and not nan
        if low * low < self.floor or high > _HIGH:
            scale = product.detach().amax((-2, -1), keepdim=True)
            self.log_scale = self.log_scale + scale.log().sum((-3, -2, -1))
            product = product / scale
        return product, y[1]
