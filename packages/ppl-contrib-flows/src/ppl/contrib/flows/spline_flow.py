"""Spline flows: a monotone spline for each component."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ArgumentError

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized
from .rational_spline import LEAST_SIZE, Bins, make_bins
from .rational_spline import spline as spline_at


class ConditionedSpline(Parametrized):
    """A monotone rational spline of each component, of parameters that a function returns.

    Outside of ``[-bound, bound]`` it is the identity. Linear rational pieces have a closed inverse
    without a root (Dolatabadi et al. 2020, "Invertible Generative Modeling using Linear Rational
    Splines"); quadratic ones are those of Durkan et al. (2019), "Neural Spline Flows".

    Args:
        params: Returns logits of widths and heights, parameters of the slopes, and for linear
            pieces the place of inner knots in (0, 1), shapes ``(*batch, n, bins)``, for the
            slopes ``(*batch, n, bins - 1)``.
        bound: Half the length of the interval.
        order: ``"linear"`` or ``"quadratic"``.
    Raises:
        ArgumentError: If these make no spline.
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    event_dim: int = 0
    sign = +1

    def __init__(
        self,
        params: Callable[[], Any] | None = None,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__(params)
        check_pieces(order, bound=bound)
        self.bound = bound
        self.order = order

    def _bins(self) -> Bins:
        widths, heights, slopes, *shares = self._params()
        return make_bins(widths, heights, slopes, shares[0] if shares else None, self.bound)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return spline_at(x, self._bins(), self.bound, self.order)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._inverse_and_log_det(y)[0]

    def _inverse_and_log_det(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return spline_at(y, self._bins(), self.bound, self.order, inverse=True)


class Spline(ConditionedSpline):
    """A monotone rational spline of each component, learnable.

    Args:
        input_dim: Size of the input.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    Raises:
        ArgumentError: If these make no spline.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Spline(4, count_bins=4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self, input_dim: int, count_bins: int = 8, bound: float = 3.0, order: str = "linear"
    ) -> None:
        super().__init__(None, bound, order)
        check_pieces(order, count_bins, bound)
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.unnormalized_widths: torch.nn.Parameter = torch.nn.Parameter(
            torch.randn(input_dim, count_bins)
        )
        self.unnormalized_heights: torch.nn.Parameter = torch.nn.Parameter(
            torch.randn(input_dim, count_bins)
        )
        self.unnormalized_derivatives: torch.nn.Parameter = torch.nn.Parameter(
            torch.randn(input_dim, count_bins - 1)
        )
        if order == "linear":
            self.unnormalized_lambdas: torch.nn.Parameter = torch.nn.Parameter(
                torch.rand(input_dim, count_bins)
            )

    def _params(self) -> tuple[Tensor, ...]:
        params = (
            self.unnormalized_widths,
            self.unnormalized_heights,
            self.unnormalized_derivatives,
        )
        return (*params, self.unnormalized_lambdas.sigmoid()) if self.order == "linear" else params


class ConditionalSpline(ConditionalFlow):
    """A monotone rational spline of each component that a network computes from a context.

    Args:
        nn: A network from a context to the parameters, for linear pieces of the sizes
            ``[n * bins, n * bins, n * (bins - 1), n * bins]``, for quadratic ones the first three.
        input_dim: Size of the input.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    Raises:
        ArgumentError: If these make no spline.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_spline(4, 2).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    event_dim: int = 0

    def __init__(
        self,
        nn: Any,
        input_dim: int,
        count_bins: int,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__(nn)
        check_pieces(order, count_bins, bound)
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.bound = bound
        self.order = order

    def condition(self, context: Any) -> ConditionedSpline:
        """Return the splines at a context, shape ``(*batch, context_dim)``."""
        return self._flow(Given(self.nn, context))

    def _flow(self, nn: Given) -> ConditionedSpline:
        return ConditionedSpline(Rows(nn, self.input_dim), self.bound, self.order)


class Rows(torch.nn.Module):
    """The parameters of a spline as a network returns them, one row for each component."""

    def __init__(self, nn: Given, input_dim: int) -> None:
        super().__init__()
        self.nn = nn
        self.input_dim = input_dim

    def forward(self) -> tuple[Tensor, ...]:
        """Return the parameters of the spline, the inner knots in (0, 1)."""
        params = tuple(part.unflatten(-1, (self.input_dim, -1)) for part in self.nn())
        return (*params[:3], *(part.sigmoid() for part in params[3:]))


def spline(input_dim: int, **kwargs: Any) -> Spline:
    """Return a spline flow.

    Args:
        input_dim: Size of the input.
        kwargs: Further arguments of :class:`Spline`.
    """
    return Spline(input_dim, **kwargs)


def conditional_spline(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSpline:
    """Return a spline flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        count_bins: The number of pieces.
        bound: Half the length of the interval around zero, outside of which it is the identity.
        order: ``"linear"`` or ``"quadratic"``.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    sizes = [input_dim * size for size in sizes_of_params(count_bins, order)]
    network = DenseNN(context_dim, hidden_dims, sizes)
    return ConditionalSpline(network, input_dim, count_bins, bound, order)


def sizes_of_params(count_bins: int, order: str) -> list[int]:
    """Return how many parameters of each kind a spline has for one component."""
    check_pieces(order, count_bins)
    sizes = [count_bins, count_bins, count_bins - 1]
    return [*sizes, count_bins] if order == "linear" else sizes


def check_pieces(order: str, count_bins: int = 1, bound: float = 1.0) -> None:
    """Refuse pieces that make no spline.

    Raises:
        ArgumentError: If the order is unknown, the interval empty, or the bins have no room.
    """
    if order not in ("linear", "quadratic"):
        raise ArgumentError(f"the order of a spline is 'linear' or 'quadratic', got {order!r}")
    if not bound > 0:
        raise ArgumentError(f"a spline bends on [-bound, bound], with bound > 0, got {bound}")
    if not 0 < count_bins < 1 / LEAST_SIZE:
        raise ArgumentError(
            f"a spline has from 1 to {1 / LEAST_SIZE - 1:.0f} bins, got count_bins={count_bins}"
        )
