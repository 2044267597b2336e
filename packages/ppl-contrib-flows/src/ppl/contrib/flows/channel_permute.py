"""Learnable mixtures of the channels of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.linalg import solve_triangular

from ppl.errors import ShapeError

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized

_IMAGE = constraints.independent(constraints.real, 3)


class ConditionedGeneralizedChannelPermute(Parametrized):
    r"""The map :math:`y_{:,i,j} = P L U x_{:,i,j}` of the channels of each pixel of an image.

    Also called an invertible 1 x 1 convolution (Kingma and Dhariwal 2018, "Glow: Generative Flow
    with Invertible 1x1 Convolutions", eq. 9 to 11): a permutation, a lower triangular matrix with
    a diagonal of ones, and an upper triangular one, whose diagonal gives the determinant.

    Args:
        permutation: The permutation matrix, shape ``(channels, channels)``.
        params: Returns ``L`` below the diagonal and ``U`` from there on, as one matrix or its
            entries, ``(*batch, channels * channels)``.
    """

    domain: constraints.Constraint = _IMAGE
    codomain: constraints.Constraint = _IMAGE
    event_dim: int = 3
    permutation: Tensor

    def __init__(self, permutation: Tensor, params: Callable[[], Any] | None = None) -> None:
        super().__init__(params)
        self.register_buffer("permutation", permutation)

    def _triangles(self) -> Tensor:
        (entries,) = self._params()
        triangles: Tensor = entries.unflatten(-1, self.permutation.shape)
        return triangles

    @property
    def U_diag(self) -> Tensor:
        """The diagonal of the upper triangular matrix, shape ``(*batch, channels)``."""
        return self._triangles().diagonal(dim1=-2, dim2=-1)

    @property
    def L(self) -> Tensor:
        """The lower triangular matrix, shape ``(*batch, channels, channels)``."""
        triangles = self._triangles()
        return triangles.tril(-1) + torch.eye(
            triangles.shape[-1], dtype=triangles.dtype, device=triangles.device
        )

    @property
    def U(self) -> Tensor:
        """The upper triangular matrix, shape ``(*batch, channels, channels)``."""
        return self._triangles().triu()

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y: Tensor = self.permutation @ self.L @ self.U @ x.flatten(-2)
        y = y.unflatten(-1, x.shape[-2:])
        num_pixels = x.shape[-2] * x.shape[-1]
        log_det = num_pixels * self.U_diag.abs().log().sum(-1)
        return y, log_det.expand(y.shape[:-3])

    def _inverse(self, y: Tensor) -> Tensor:
        mixed = self.permutation.mT @ y.flatten(-2)
        lower = solve_triangular(self.L, mixed, upper=False, unitriangular=True)
        x: Tensor = solve_triangular(self.U, lower, upper=True).unflatten(-1, y.shape[-2:])
        return x


class GeneralizedChannelPermute(ConditionedGeneralizedChannelPermute):
    """A learnable mixture of the channels of images, at first a random rotation.

    Args:
        channels: The number of channels, which are the third dimension from the right.
        permutation: The order that the channels are put in, shape ``(channels,)``; by default the
            one of the factorization of the random rotation.
    Raises:
        ShapeError: If ``permutation`` is not one of the channels.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = GeneralizedChannelPermute(channels=3)
        >>> x = torch.randn(5, 3, 32, 32)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, channels: int = 3, permutation: Tensor | None = None) -> None:
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        factors, pivots = torch.linalg.lu_factor(rotation)
        found = torch.lu_unpack(factors, pivots)[0]
        super().__init__(found if permutation is None else _matrix(permutation, channels))
        self.LU: torch.nn.Parameter = torch.nn.Parameter(factors)

    def _params(self) -> tuple[Tensor, ...]:
        return (self.LU.flatten(),)


class ConditionalGeneralizedChannelPermute(ConditionalFlow):
    """A mixture of the channels of images that a network computes from a context.

    Args:
        nn: A network from a context to the entries of the triangular matrices, of size
            ``channels ** 2``.
        channels: The number of channels, which are the third dimension from the right.
        permutation: The order that the channels are put in, shape ``(channels,)``; random by
            default.
    Raises:
        ShapeError: If ``permutation`` is not one of the channels.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_generalized_channel_permute(2, channels=3).condition(torch.ones(2))
        >>> flow(torch.randn(5, 3, 32, 32)).shape
        torch.Size([5, 3, 32, 32])
    """

    domain: constraints.Constraint = _IMAGE
    codomain: constraints.Constraint = _IMAGE
    event_dim: int = 3
    permutation: Tensor

    def __init__(self, nn: Any, channels: int = 3, permutation: Tensor | None = None) -> None:
        super().__init__(nn)
        self.channels = channels
        order = torch.randperm(channels) if permutation is None else permutation
        self.register_buffer("permutation", _matrix(order, channels))

    def _flow(self, nn: Given) -> ConditionedGeneralizedChannelPermute:
        return ConditionedGeneralizedChannelPermute(self.permutation, nn)


def generalized_channel_permute(**kwargs: Any) -> GeneralizedChannelPermute:
    """Return a learnable mixture of the channels of images.

    Args:
        kwargs: Arguments of :class:`GeneralizedChannelPermute`.
    """
    return GeneralizedChannelPermute(**kwargs)


def conditional_generalized_channel_permute(
    context_dim: int, channels: int = 3, hidden_dims: Sequence[int] | None = None
) -> ConditionalGeneralizedChannelPermute:
    """Return a mixture of the channels of images, given a context, with a network of its own.

    Args:
        context_dim: Size of the context.
        channels: The number of channels.
        hidden_dims: Sizes of the hidden layers, two of ``10 * channels`` by default.
    """
    hidden_dims = [10 * channels] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden_dims, [channels * channels])
    return ConditionalGeneralizedChannelPermute(network, channels)


def _matrix(permutation: Tensor, channels: int) -> Tensor:
    """Return the matrix of a permutation: row ``i`` picks channel ``permutation[i]``."""
    if permutation.shape != (channels,) or not torch.equal(
        permutation.sort().values.cpu(), torch.arange(channels)
    ):
        raise ShapeError(
            f"permutation must hold each of the {channels} channels once, from 0 on, "
            f"got {permutation.tolist()}"
        )
    return torch.eye(channels, device=permutation.device)[permutation]
