"""Normalization of batches, as a layer of a flow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ShapeError

from .transform_module import TransformModule

_LEAST_GAMMA = 1e-6


class BatchNorm(TransformModule):
    r"""The layer with the inverse :math:`x = \gamma (y - m) / \sqrt{v + \epsilon} + \beta`.

    The inverse is what runs when values are scored, and normalizes them (Ioffe and Szegedy 2015,
    "Batch Normalization", algorithm 1; in flows Dinh et al. 2017, "Density estimation using Real
    NVP", section 3.7, and Papamakarios et al. 2017, "Masked Autoregressive Flow", eq. 19).

    While it is training (``.train()``), the inverse takes mean and variance from the batch and
    moves the averages to them; the transform itself, and both once in use (``.eval()``), take the
    averages. So in training the two do not undo each other, unless the value is a remembered draw.

    Args:
        input_dim: Size of the input.
        momentum: The weight of a batch in the averages.
        epsilon: Added to the variance.

    Example:
        >>> flow = BatchNorm(2)
        >>> flow.inv(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))[:, 0].detach()
        tensor([-1.0000,  0.0000,  1.0000])
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    bijective = True
    event_dim: int = 0
    sign = +1
    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, input_dim: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma: torch.nn.Parameter = torch.nn.Parameter(torch.ones(input_dim))
        self.beta: torch.nn.Parameter = torch.nn.Parameter(torch.zeros(input_dim))
        self.register_buffer("moving_mean", torch.zeros(input_dim))
        self.register_buffer("moving_variance", torch.ones(input_dim))

    @property
    def constrained_gamma(self) -> Tensor:
        """The scale, held above zero."""
        return self.gamma.relu() + _LEAST_GAMMA

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = (self.moving_variance + self.epsilon).sqrt() / self.constrained_gamma
        y = (x - self.beta) * scale + self.moving_mean
        return y, scale.log().expand(y.shape)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._inverse_and_log_det(y)[0]

    def _inverse_and_log_det(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self._moments(y)
        if self.training:
            with torch.no_grad():
                self.moving_mean.lerp_(mean, self.momentum)
                self.moving_variance.lerp_(variance, self.momentum)
        scale = (variance + self.epsilon).sqrt() / self.constrained_gamma
        return (y - mean) / scale + self.beta, scale.log().expand(y.shape)

    def _moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance: of the batch in training, else the averages."""
        if not self.training:
            return self.moving_mean, self.moving_variance
        rows = y.reshape(-1, self.input_dim)
        if len(rows) < 2:
            raise ShapeError(
                f"BatchNorm in training takes the variance of a batch, but got values of shape "
                f"{tuple(y.shape)}, one only; score several at once, or call .eval() first"
            )
        return rows.mean(0), rows.var(0)


def batchnorm(input_dim: int, **kwargs: Any) -> BatchNorm:
    """Return a layer that normalizes batches.

    Args:
        input_dim: Size of the input.
        kwargs: Further arguments of :class:`BatchNorm`.
    """
    return BatchNorm(input_dim, **kwargs)
