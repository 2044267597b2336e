"""Coupling flows: a part of the input transforms the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ShapeError

from .dense_nn import DenseNN
from .transform_module import TransformModule


class AffineCoupling(TransformModule):
    r"""The coupling layer :math:`y_1 = x_1`, :math:`y_2 = \mu(x_1) + \sigma(x_1) \odot x_2`.

    Both directions cost one pass of the network (Dinh et al. 2017, "Density estimation using Real
    NVP", eq. 7 and 8). Compose with permutations, or the first part stays as it is.

    Args:
        split_dim: Size of the first part.
        hypernet: A network from the first part to the mean and the log scale of the second.
        log_scale_min_clip: Lower bound of the log scale.
        log_scale_max_clip: Upper bound of the log scale.

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
    event_dim = 1
    sign = +1

    def __init__(
        self,
        split_dim: int,
        hypernet: Callable[[Tensor], Any],
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
    ) -> None:
        super().__init__()
        self.split_dim = split_dim
        self.nn = hypernet
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    def _shift_and_log_scale(self, first: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.nn(first)
        return shift, raw.clamp(self.log_scale_min_clip, self.log_scale_max_clip)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x[..., : self.split_dim], x[..., self.split_dim :]
        shift, log_scale = self._shift_and_log_scale(first)
        return torch.cat([first, shift + log_scale.exp() * second], -1), log_scale.sum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        first, second = y[..., : self.split_dim], y[..., self.split_dim :]
        shift, log_scale = self._shift_and_log_scale(first)
        return torch.cat([first, (second - shift) * (-log_scale).exp()], -1)


def affine_coupling(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    **kwargs: Any,
) -> AffineCoupling:
    """Return an affine coupling layer with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, one of ``10 * input_dim`` by default.
        split_dim: Size of the part that transforms the rest, half by default.
        kwargs: Further arguments of :class:`AffineCoupling`.

    Raises:
        ShapeError: If ``split_dim`` does not leave something on both sides.
    """
    split_dim = input_dim // 2 if split_dim is None else split_dim
    if not 0 < split_dim < input_dim:
        raise ShapeError(
            f"affine_coupling splits an input of size {input_dim} at {split_dim}, but both parts "
            "need a component; choose 0 < split_dim < input_dim"
        )
    hidden_dims = [10 * input_dim] if hidden_dims is None else hidden_dims
    rest = input_dim - split_dim
    return AffineCoupling(split_dim, DenseNN(split_dim, hidden_dims, [rest, rest]), **kwargs)
