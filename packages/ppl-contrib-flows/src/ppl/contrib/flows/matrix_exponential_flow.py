"""Linear flows by the exponential of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.errors import IntractableError

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized


class ConditionedMatrixExponential(Parametrized):
    r"""The linear flow :math:`y = \exp(M) x`, with a matrix that a function returns.

    It is invertible whatever ``M``, by :math:`\exp(-M)`, and the log determinant is the trace
    (Hoogeboom et al. 2020, "The Convolution Exponential and Generalized Sylvester Flows", eq. 6).
    The exponential is exact to rounding: it is not cut after ``iterations`` terms.

    Args:
        params: Returns the matrix, shape ``(*batch, n, n)``.
        iterations: Kept for programs that pass it, and of no effect.
        normalization: ``"none"``.
        bound: None.
    Raises:
        IntractableError: If ``normalization`` is another than ``"none"``.
    """

    def __init__(
        self,
        params: Callable[[], Any] | None = None,
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super().__init__(params)
        _check_normalization(normalization)
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def _matrix(self) -> Tensor:
        (entries,) = self._params()
        size = math.isqrt(entries.shape[-1])
        matrix: Tensor = entries.unflatten(-1, (size, size))
        return matrix

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self._matrix()
        y = _apply(matrix, x)
        return y, matrix.diagonal(dim1=-2, dim2=-1).sum(-1).expand(y.shape[:-1])

    def _inverse(self, y: Tensor) -> Tensor:
        return _apply(-self._matrix(), y)


class MatrixExponential(ConditionedMatrixExponential):
    r"""The linear flow :math:`y = \exp(M) x` with a learnable matrix.

    Args:
        input_dim: Size of the input.
        iterations: Kept for programs that pass it, and of no effect: the exponential is exact.
        normalization: ``"none"``.
        bound: None.
    Raises:
        IntractableError: If ``normalization`` is another than ``"none"``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = MatrixExponential(4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self,
        input_dim: int,
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super().__init__(None, iterations, normalization, bound)
        self.input_dim = input_dim
        self.weights: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim, input_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw a new matrix."""
        bound = 1 / math.sqrt(self.input_dim)
        torch.nn.init.uniform_(self.weights, -bound, bound)

    def _params(self) -> tuple[Tensor, ...]:
        return (self.weights.flatten(),)


class ConditionalMatrixExponential(ConditionalFlow):
    r"""The linear flow :math:`y = \exp(M) x` whose matrix a network computes from a context.

    Args:
        input_dim: Size of the input.
        nn: A network from a context to the entries of the matrix, of size ``input_dim ** 2``.
        iterations: Kept for programs that pass it, and of no effect: the exponential is exact.
        normalization: ``"none"``.
        bound: None.
    Raises:
        IntractableError: If ``normalization`` is another than ``"none"``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_matrix_exponential(4, 2).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self,
        input_dim: int,
        nn: Any,
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super().__init__(nn)
        _check_normalization(normalization)
        self.input_dim = input_dim
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def _flow(self, nn: Given) -> ConditionedMatrixExponential:
        return ConditionedMatrixExponential(nn, self.iterations, self.normalization, self.bound)


def matrix_exponential(
    input_dim: int, iterations: int = 8, normalization: str = "none", bound: float | None = None
) -> MatrixExponential:
    """Return a linear flow by the exponential of a matrix.

    Args:
        input_dim: Size of the input.
        iterations: Kept for programs that pass it, and of no effect: the exponential is exact.
        normalization: ``"none"``.
        bound: None.
    """
    return MatrixExponential(input_dim, iterations, normalization, bound)


def conditional_matrix_exponential(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    iterations: int = 8,
    normalization: str = "none",
    bound: float | None = None,
) -> ConditionalMatrixExponential:
    """Return a linear flow by the exponential of a matrix, given a context, with its own network.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
        iterations: Kept for programs that pass it, and of no effect: the exponential is exact.
        normalization: ``"none"``.
        bound: None.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden_dims, [input_dim * input_dim])
    return ConditionalMatrixExponential(input_dim, network, iterations, normalization, bound)


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    y: Tensor = torch.linalg.matrix_exp(matrix) @ x.unsqueeze(-1)
    return y.squeeze(-1)


def _check_normalization(normalization: str) -> None:
    if normalization != "none":
        raise IntractableError(
            f"the exponential of a matrix got normalization={normalization!r}, but the matrix is "
            "used as it is, which is invertible whatever its size: pass normalization='none'"
        )
