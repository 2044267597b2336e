"""Spline flows whose pieces depend on the components before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .auto_reg_nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from .autoregressive import Autoregressive
from .conditional_flow import ConditionalFlow
from .given import Given
from .rational_spline import make_bins, spline
from .spline_flow import check_pieces, sizes_of_params


class SplineAutoregressive(Autoregressive):
    """The flow that maps each component by a monotone spline that those before it choose.

    For the pieces see :class:`ConditionedSpline`; autoregressive as in Durkan et al. (2019),
    "Neural Spline Flows", section 3.2.

    Args:
        input_dim: Size of the input.
        autoregressive_nn: A network from ``x`` to the parameters of each component, for linear
            pieces of the sizes ``[bins, bins, bins - 1, bins]``, for quadratic ones the first
            three.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    Raises:
        ArgumentError: If these make no spline.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> flow = spline_autoregressive(4, count_bins=4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self,
        input_dim: int,
        autoregressive_nn: Any,
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__(autoregressive_nn)
        check_pieces(order, count_bins, bound)
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.bound = bound
        self.order = order

    def _spline(
        self, x: Tensor, params: tuple[Tensor, ...], inverse: bool
    ) -> tuple[Tensor, Tensor]:
        widths, heights, slopes, *shares = (param.movedim(-2, -1) for param in params)
        share = shares[0].sigmoid() if shares else None
        bins = make_bins(widths, heights, slopes, share, self.bound)
        return spline(x, bins, self.bound, self.order, inverse)

    def _map(self, x: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        return self._spline(x, params, inverse=False)

    def _unmap(self, y: Tensor, *params: Tensor) -> Tensor:
        return self._spline(y, params, inverse=True)[0]


class ConditionalSplineAutoregressive(ConditionalFlow):
    """An autoregressive spline flow whose network also sees a context.

    Args:
        input_dim: Size of the input.
        autoregressive_nn: A network from ``x`` and a context to the parameters of
            :class:`SplineAutoregressive`.
        kwargs: Further arguments of :class:`SplineAutoregressive`.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_spline_autoregressive(4, 2).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, input_dim: int, autoregressive_nn: Any, **kwargs: Any) -> None:
        super().__init__(autoregressive_nn)
        self.input_dim = input_dim
        self.kwargs = kwargs

    def _flow(self, nn: Given) -> SplineAutoregressive:
        return SplineAutoregressive(self.input_dim, nn, **self.kwargs)


def spline_autoregressive(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> SplineAutoregressive:
    """Return an autoregressive spline flow with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, hidden_dims, sizes_of_params(count_bins, order))
    return SplineAutoregressive(input_dim, network, count_bins, bound, order)


def conditional_spline_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSplineAutoregressive:
    """Return an autoregressive spline flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    sizes = sizes_of_params(count_bins, order)
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, hidden_dims, sizes)
    return ConditionalSplineAutoregressive(
        input_dim, network, count_bins=count_bins, bound=bound, order=order
    )
