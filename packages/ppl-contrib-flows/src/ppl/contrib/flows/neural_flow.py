"""Neural autoregressive flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .activations import activation as activation_of
from .activations import mixture
from .auto_reg_nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from .autoregressive import Autoregressive
from .conditional_flow import ConditionalFlow
from .given import Given


class NeuralAutoregressive(Autoregressive):
    r"""The flow that maps each component by a small monotone network.

    With :math:`T` the activation, :math:`y = T^{-1}(\sum_j w_j T(a_j x + b_j))`, where the positive
    slopes, the biases and the weights, of sum one, are chosen by the components before (Huang et
    al. 2018, "Neural Autoregressive Flows", eq. 8, the deep sigmoidal flow). The inverse is found
    numerically.

    Args:
        autoregressive_nn: A network from ``x`` to ``hidden_units`` unconstrained slopes, logits of
            weights, and biases for each component.
        hidden_units: The width of the small network.
        activation: ``"sigmoid"``, ``"tanh"``, ``"ELU"`` or ``"LeakyReLU"``.
    Raises:
        ArgumentError: If the activation is unknown.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> network = AutoRegressiveNN(4, [16], param_dims=[8] * 3)
        >>> flow = NeuralAutoregressive(network, hidden_units=8)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self, autoregressive_nn: Any, hidden_units: int = 16, activation: str = "sigmoid"
    ) -> None:
        super().__init__(autoregressive_nn)
        self.T = activation_of(activation)
        self.hidden_units = hidden_units
        self.activation = activation

    def _params(self, x: Tensor) -> tuple[Tensor, ...]:
        raw_slopes, logits, biases = self.arn(x)
        slopes, log_weights = softplus(raw_slopes), logits.log_softmax(-2)
        return slopes, biases, log_weights, log_weights + _log_softplus(raw_slopes)

    def _map(self, x: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        slopes, biases, log_weights, log_rates = params  # (*batch, hidden_units, n)
        pre = slopes * x.unsqueeze(-2) + biases
        y, log_outer, log_inner = mixture(self.activation, log_weights, pre)
        return y, log_outer + (log_rates + log_inner).logsumexp(-2)


class ConditionalNeuralAutoregressive(ConditionalFlow):
    """A neural autoregressive flow whose network also sees a context.

    Args:
        autoregressive_nn: A network from ``x`` and a context to the parameters of
            :class:`NeuralAutoregressive`.
        kwargs: Further arguments of :class:`NeuralAutoregressive`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = conditional_neural_autoregressive(4, 2).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, autoregressive_nn: Any, **kwargs: Any) -> None:
        super().__init__(autoregressive_nn)
        self.kwargs = kwargs

    def _flow(self, nn: Given) -> NeuralAutoregressive:
        return NeuralAutoregressive(nn, **self.kwargs)


def neural_autoregressive(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    activation: str = "sigmoid",
    width: int = 16,
) -> NeuralAutoregressive:
    """Return a neural autoregressive flow with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, one of ``3 * input_dim + 1`` by default.
        activation: ``"sigmoid"``, ``"tanh"``, ``"ELU"`` or ``"LeakyReLU"``.
        width: The width of the monotone network of each component.
    """
    hidden_dims = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, hidden_dims, [width] * 3)
    return NeuralAutoregressive(network, hidden_units=width, activation=activation)


def conditional_neural_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    activation: str = "sigmoid",
    width: int = 16,
) -> ConditionalNeuralAutoregressive:
    """Return a neural autoregressive flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, one of ``3 * input_dim + 1`` by default.
        activation: ``"sigmoid"``, ``"tanh"``, ``"ELU"`` or ``"LeakyReLU"``.
        width: The width of the monotone network of each component.
    """
    hidden_dims = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, hidden_dims, [width] * 3)
    return ConditionalNeuralAutoregressive(network, hidden_units=width, activation=activation)


def _log_softplus(x: Tensor) -> Tensor:
    """Return ``log(softplus(x))``, which is ``x`` where the softplus would underflow."""
    return torch.where(x < -30, x, softplus(x.clamp(min=-30)).log())
