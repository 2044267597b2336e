"""Coupling flows: a part of the input transforms the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ArgumentError, ShapeError

from .conditional_flow import ConditionalFlow
from .dense_nn import ConditionalDenseNN, DenseNN
from .given import Given
from .transform_module import TransformModule


class AffineCoupling(TransformModule):
    r"""The coupling layer :math:`y_1 = x_1`, :math:`y_2 = \mu(x_1) + \sigma(x_1) \odot x_2`.

    Both directions cost one pass of the network (Dinh et al. 2017, "Density estimation using Real
    NVP", eq. 7 and 8). Compose with permutations, or the first part stays as it is.

    Args:
        split_dim: Size of the first part.
        hypernet: A network from the first part to the mean and the log scale of the second; of
            several dimensions the entries are in a row, before and after it.
        log_scale_min_clip: Lower bound of the log scale.
        log_scale_max_clip: Upper bound of the log scale.
        dim: The dimension that is split, negative; an event are the dimensions from it on.
    Raises:
        ArgumentError: If ``dim`` is not negative.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = AffineCoupling(2, DenseNN(2, [16], param_dims=[3, 3]))
        >>> x = torch.randn(5)
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
        split_dim: int,
        hypernet: Callable[[Tensor], Any],
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
        *,
        dim: int = -1,
    ) -> None:
        super().__init__()
        if dim >= 0:
            raise ArgumentError(f"AffineCoupling: dim counts from the right, got {dim}")
        self.split_dim = split_dim
        self.nn = hypernet
        self.dim = dim
        self.event_dim = -dim
        self.domain = self.codomain = constraints.independent(constraints.real, -dim)
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.tensor_split([self.split_dim], self.dim)
        return first, second

    def _shift_and_log_scale(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        event_shape = second.shape[self.dim :]
        shift, raw = (part.unflatten(-1, event_shape) for part in self.nn(first.flatten(self.dim)))
        return shift, raw.clamp(self.log_scale_min_clip, self.log_scale_max_clip)

    def _join(self, first: Tensor, second: Tensor) -> Tensor:
        batch_shape = second.shape[: self.dim]  # that of the context too
        return torch.cat([first.expand(*batch_shape, *first.shape[self.dim :]), second], self.dim)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self._split(x)
        shift, log_scale = self._shift_and_log_scale(first, second)
        return self._join(first, shift + log_scale.exp() * second), log_scale.flatten(self.dim).sum(
            -1
        )

    def _inverse(self, y: Tensor) -> Tensor:
        return self._inverse_and_log_det(y)[0]

    def _inverse_and_log_det(self, y: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self._split(y)
        shift, log_scale = self._shift_and_log_scale(first, second)
        x = self._join(first, (second - shift) * (-log_scale).exp())
        return x, log_scale.flatten(self.dim).sum(-1)


class ConditionalAffineCoupling(ConditionalFlow):
    """An affine coupling layer whose network also sees a context.

    Args:
        split_dim: Size of the first part.
        hypernet: A network from the first part and a context to the mean and the log scale of the
            second part.
        kwargs: Further arguments of :class:`AffineCoupling`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_affine_coupling(4, 2).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, split_dim: int, hypernet: Any, **kwargs: Any) -> None:
        super().__init__(hypernet)
        self.split_dim = split_dim
        self.kwargs = kwargs
        self.event_dim: int = -kwargs.get("dim", -1)
        event = constraints.independent(constraints.real, self.event_dim)
        self.domain: constraints.Constraint = event
        self.codomain: constraints.Constraint = event

    def _flow(self, nn: Given) -> AffineCoupling:
        return AffineCoupling(self.split_dim, nn, **self.kwargs)


def affine_coupling(
    input_dim: int | Sequence[int],
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> AffineCoupling:
    """Return an affine coupling layer with a network of its own.

    Args:
        input_dim: Size of the input, or all sizes from ``dim`` on.
        hidden_dims: Sizes of the hidden layers, one of ten times the size of the input by default.
        split_dim: Size of the part that transforms the rest, half by default.
        dim: The dimension that is split, negative.
        kwargs: Further arguments of :class:`AffineCoupling`.

    Raises:
        ShapeError: If ``split_dim`` does not leave something on both sides.
    """
    split_dim, first, rest = _sizes("affine_coupling", input_dim, split_dim, dim)
    hidden_dims = [10 * (first + rest)] if hidden_dims is None else hidden_dims
    return AffineCoupling(split_dim, DenseNN(first, hidden_dims, [rest, rest]), dim=dim, **kwargs)


def conditional_affine_coupling(
    input_dim: int | Sequence[int],
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> ConditionalAffineCoupling:
    """Return an affine coupling layer, given a context, with a network of its own.

    Args:
        input_dim: Size of the input, or all sizes from ``dim`` on.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, one of ten times the size of the input by default.
        split_dim: Size of the part that transforms the rest, half by default.
        dim: The dimension that is split, negative.
        kwargs: Further arguments of :class:`AffineCoupling`.

    Raises:
        ShapeError: If ``split_dim`` does not leave something on both sides.
    """
    split_dim, first, rest = _sizes("conditional_affine_coupling", input_dim, split_dim, dim)
    hidden_dims = [10 * (first + rest)] if hidden_dims is None else hidden_dims
    network = ConditionalDenseNN(first, context_dim, hidden_dims, [rest, rest])
    return ConditionalAffineCoupling(split_dim, network, dim=dim, **kwargs)


def check_split(name: str, input_dim: int, split_dim: int) -> None:
    """Refuse a split with nothing on one side.

    Raises:
        ShapeError: If that is so.
    """
    if not 0 < split_dim < input_dim:
        raise ShapeError(
            f"{name} splits an input of size {input_dim} at {split_dim}, but both parts "
            "need a component; choose 0 < split_dim < input_dim"
        )


def _sizes(
    name: str, input_dim: int | Sequence[int], split_dim: int | None, dim: int
) -> tuple[int, int, int]:
    """Return where to split, and how many entries there are before and after."""
    sizes = [input_dim] if isinstance(input_dim, int) else list(input_dim)
    if len(sizes) != -dim:
        raise ShapeError(f"{name}: expected {-dim} sizes for dim={dim}, got {input_dim}")
    split_dim = sizes[0] // 2 if split_dim is None else split_dim
    check_split(name, sizes[0], split_dim)
    others = math.prod(sizes[1:])
    return split_dim, split_dim * others, (sizes[0] - split_dim) * others
