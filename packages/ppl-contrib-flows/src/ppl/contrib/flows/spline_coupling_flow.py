"""Coupling flows of splines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from .coupling import check_split
from .dense_nn import DenseNN
from .spline_flow import ConditionalSpline, ConditionedSpline, Spline, sizes_of_params
from .transform_module import TransformModule


class SplineCoupling(TransformModule):
    """A coupling layer: a spline of the first part, and one of the rest that the first chooses.

    Both directions cost one pass of the network (Durkan et al. 2019, "Neural Spline Flows",
    section 3.2; for linear pieces Dolatabadi et al. 2020, "Invertible Generative Modeling using
    Linear Rational Splines").

    Args:
        input_dim: Size of the input.
        split_dim: Size of the first part.
        hypernet: A network from the first part to the parameters of the rest, as of
            :class:`ConditionalSpline`.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
        identity: Whether the first part stays as it is.
    Raises:
        ShapeError: If ``split_dim`` does not leave something on both sides.
        ArgumentError: If these make no spline.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = spline_coupling(4, count_bins=4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim: int = 1
    sign = +1

    def __init__(
        self,
        input_dim: int,
        split_dim: int,
        hypernet: Any,
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
        identity: bool = False,
    ) -> None:
        super().__init__()
        check_split("SplineCoupling", input_dim, split_dim)
        self.split_dim = split_dim
        self.identity = identity
        self.lower_spline: Spline | None = (
            None if identity else Spline(split_dim, count_bins, bound, order)
        )
        rest = input_dim - split_dim
        self.upper_spline: ConditionalSpline = ConditionalSpline(
            hypernet, rest, count_bins, bound, order
        )

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x[..., : self.split_dim], x[..., self.split_dim :]
        image, log_slope = self._upper(first)._forward(second)
        log_det = log_slope.sum(-1)
        if self.lower_spline is not None:
            first, log_slope = self.lower_spline._forward(first)
            log_det = log_det + log_slope.sum(-1)
        return torch.cat([first, image], -1), log_det

    def _inverse(self, y: Tensor) -> Tensor:
        return self._inverse_and_log_det(y)[0]

    def _inverse_and_log_det(self, y: Tensor) -> tuple[Tensor, Tensor]:
        first, image = y[..., : self.split_dim], y[..., self.split_dim :]
        log_det = y.new_zeros(())
        if self.lower_spline is not None:
            first, log_slope = self.lower_spline._inverse_and_log_det(first)
            log_det = log_slope.sum(-1)
        second, log_slope = self._upper(first)._inverse_and_log_det(image)
        return torch.cat([first, second], -1), log_det + log_slope.sum(-1)

    def _upper(self, first: Tensor) -> ConditionedSpline:
        return self.upper_spline.condition(first)


def spline_coupling(
    input_dim: int,
    split_dim: int | None = None,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> SplineCoupling:
    """Return a coupling layer of splines with a network of its own.

    Args:
        input_dim: Size of the input.
        split_dim: Size of the part that transforms the rest, half by default.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    Raises:
        ShapeError: If ``split_dim`` does not leave something on both sides.
    """
    split_dim = input_dim // 2 if split_dim is None else split_dim
    check_split("spline_coupling", input_dim, split_dim)
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    sizes = [(input_dim - split_dim) * size for size in sizes_of_params(count_bins, order)]
    network = DenseNN(split_dim, hidden_dims, sizes)
    return SplineCoupling(input_dim, split_dim, network, count_bins, bound, order)
