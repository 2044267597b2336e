"""Gaussian processes in time as linear state space models."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.errors import ShapeError
from ppl.nn import PyroModule, PyroParam

root_three: float = math.sqrt(3.0)
root_five: float = math.sqrt(5.0)
five_thirds: float = 5.0 / 3.0


class MaternKernel(PyroModule):
    """The state space form of Gaussian processes with a Matern kernel.

    The state holds the process and its first derivatives. Its exact transitions make inference
    linear in the number of observations (Hartikainen and Särkkä 2010). Matrices act on row vectors
    from the right, as in ``GaussianHMM``.

    Args:
        nu: Smoothness, 0.5, 1.5 or 2.5: the process has 0, 1 or 2 derivatives.
        num_gps: Number of independent processes.
        length_scale_init: Length scales to start from, shape ``(num_gps,)``; one by default.
        kernel_scale_init: Standard deviations to start from, shape ``(num_gps,)``; one by default.
    Raises:
        NotImplementedError: For another smoothness.

    Example:
        >>> MaternKernel(nu=0.5).transition_matrix(dt=0.5).detach()
        tensor([[[0.6065]]])
    """

    length_scale: Tensor
    kernel_scale: Tensor

    def __init__(
        self,
        nu: float = 1.5,
        num_gps: int = 1,
        length_scale_init: Tensor | None = None,
        kernel_scale_init: Tensor | None = None,
    ) -> None:
        if nu not in _LAWS:
            raise NotImplementedError(f"MaternKernel: expected nu of 0.5, 1.5 or 2.5, got {nu}")
        super().__init__()
        self.nu = nu
        self.num_gps = num_gps
        self.state_dim: int = int(nu + 0.5)
        for name, init in (
            ("length_scale", length_scale_init),
            ("kernel_scale", kernel_scale_init),
        ):
            setattr(self, name, _positive(num_gps, init))

    def transition_matrix(self, dt: float | Tensor) -> Tensor:
        """Return the matrix of a step of length ``dt``, shape ``(num_gps, state, state)``."""
        rate = math.sqrt(2 * self.nu) / self.length_scale
        return _LAWS[self.nu][0](rate, dt) * (-rate * dt).exp()[:, None, None]

    def stationary_covariance(self) -> Tensor:
        """Return the covariance of a state at any time, shape ``(num_gps, state, state)``."""
        rate = math.sqrt(2 * self.nu) / self.length_scale
        return _LAWS[self.nu][1](rate) * self.kernel_scale.square()[:, None, None]

    def process_covariance(self, A: Tensor) -> Tensor:
        """Return the covariance of the noise of a step with matrix ``A``."""
        covariance = self.stationary_covariance()
        return covariance - A.mT @ covariance @ A

    def transition_matrix_and_covariance(self, dt: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrix of a step of length ``dt`` and the covariance of its noise."""
        matrix = self.transition_matrix(dt)
        return matrix, self.process_covariance(matrix)


def _positive(size: int, init: Tensor | None) -> PyroParam:
    start = torch.ones(size) if init is None else init
    if start.shape != (size,):
        raise ShapeError(
            f"MaternKernel: expected initial scales of shape {(size,)}, one for each process, got "
            f"{tuple(start.shape)}"
        )
    return PyroParam(start, constraint=constraints.positive)


def _matrices(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """Return matrices from their entries, each a number or of the shape of ``like``."""
    entries = [torch.stack([x + torch.zeros_like(like) for x in row], -1) for row in rows]
    return torch.stack(entries, -2)


def _transition_1(a: Tensor, dt: float | Tensor) -> Tensor:
    return _matrices([[1.0]], a)


def _transition_2(a: Tensor, dt: float | Tensor) -> Tensor:
    return _matrices([[1 + a * dt, -(a**2) * dt], [dt, 1 - a * dt]], a)


def _transition_3(a: Tensor, dt: float | Tensor) -> Tensor:
    b = a * dt
    rows: list[list[Tensor | float]] = [
        [1 + b + b**2 / 2, -a * b**2 / 2, a**2 * (b**2 / 2 - b)],
        [dt * (1 + b), 1 + b - b**2, a * (b**2 - 3 * b)],
        [dt**2 / 2, dt * (1 - b / 2), 1 - 2 * b + b**2 / 2],
    ]
    return _matrices(rows, a)


def _covariance_1(a: Tensor) -> Tensor:
    return _matrices([[1.0]], a)


def _covariance_2(a: Tensor) -> Tensor:
    return _matrices([[1.0, 0.0], [0.0, a**2]], a)


def _covariance_3(a: Tensor) -> Tensor:
    third = a**2 / 3
    return _matrices([[1.0, 0.0, -third], [0.0, third, 0.0], [-third, 0.0, a**4]], a)


_LAWS: dict[float, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    0.5: (_transition_1, _covariance_1),
    1.5: (_transition_2, _covariance_2),
    2.5: (_transition_3, _covariance_3),
}
