"""Sylvester flows: planar flows along several orthogonal directions."""

from __future__ import annotations

import torch
from torch import Tensor

from .householder_flow import Householder
from .root import increasing_root


class Sylvester(Householder):
    r"""The Sylvester flow :math:`y = x + Q R \tanh(S Q^T x + b)`.

    ``Q`` is a product of reflections, and ``R`` and ``S`` are upper triangular with diagonals in
    (-1, 1), which makes the flow invertible (van den Berg et al. 2018, "Sylvester Normalizing Flows
    for Variational Inference", eq. 8, theorem 2 and section 4). In the coordinates :math:`Q^T x` a
    component depends on itself and those after it, so the inverse is found from the last one on.

    Args:
        input_dim: Size of the input.
        count_transforms: The number of reflections whose product is ``Q``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Sylvester(4, count_transforms=2)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    volume_preserving = False
    triangular_mask: Tensor

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        super().__init__(input_dim, count_transforms)
        self.R_dense: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim, input_dim))
        self.S_dense: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim, input_dim))
        self.R_diag: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.S_diag: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.b: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.register_buffer("triangular_mask", torch.ones(input_dim, input_dim).triu(1))
        self.reset_parameters2()

    def reset_parameters2(self) -> None:
        """Draw new triangular matrices and a new bias, for a flow near the identity."""
        for parameter in (self.R_dense, self.S_dense, self.R_diag, self.S_diag, self.b):
            torch.nn.init.uniform_(parameter, -0.01, 0.01)

    def dtanh_dx(self, x: Tensor) -> Tensor:
        """Return the derivative of the hyperbolic tangent."""
        return 1 - x.tanh().square()

    def R(self) -> Tensor:
        """Return the outer triangular matrix."""
        return self.R_dense * self.triangular_mask + self.R_diag.tanh().diag()

    def S(self) -> Tensor:
        """Return the inner triangular matrix."""
        return self.S_dense * self.triangular_mask + self.S_diag.tanh().diag()

    def Q(self, x: Tensor) -> Tensor:
        """Return the orthogonal matrix, in the dtype and on the device of ``x``."""
        axes = torch.eye(self.input_dim, dtype=x.dtype, device=x.device)
        return super()._forward(axes)[0]

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, r, s = self.Q(x), self.R(), self.S()
        inner = x @ q @ s.mT + self.b
        slope = r.diagonal() * s.diagonal() * self.dtanh_dx(inner)  # theorem 1
        return x + inner.tanh() @ r.mT @ q.mT, slope.log1p().sum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        q, r, s = self.Q(y), self.R(), self.S()
        target = y @ q
        known: list[Tensor] = []  # the components after this one
        bends: list[Tensor] = []
        for i in reversed(range(self.input_dim)):
            offset = _dot(known, s[i, i + 1 :]) + self.b[i]
            rest = target[..., i] - _dot(bends, r[i, i + 1 :])
            component = _solve(rest, r[i, i], s[i, i], offset)
            known.insert(0, component)
            bends.insert(0, (s[i, i] * component + offset).tanh())
        return torch.stack(known, -1) @ q.mT


def sylvester(input_dim: int, count_transforms: int | None = None) -> Sylvester:
    """Return a Sylvester flow.

    Args:
        input_dim: Size of the input.
        count_transforms: The number of reflections, ``input_dim // 2 + 1`` by default.
    """
    return Sylvester(
        input_dim, input_dim // 2 + 1 if count_transforms is None else count_transforms
    )


def _dot(components: list[Tensor], weights: Tensor) -> Tensor:
    """Return the weighted sum of components, zero if there are none."""
    if not components:
        return weights.new_zeros(())
    return (torch.stack(components, -1) * weights).sum(-1)


def _solve(target: Tensor, r: Tensor, s: Tensor, offset: Tensor) -> Tensor:
    """Return where ``z + r * tanh(s * z + offset)`` reaches the target, for ``r * s > -1``."""

    def value(z: Tensor) -> Tensor:
        return z + r * (s * z + offset).tanh()

    def function(z: Tensor) -> tuple[Tensor, Tensor]:
        return value(z), (r * s * (1 - (s * z + offset).tanh().square())).log1p()

    return increasing_root(function, target, value)
