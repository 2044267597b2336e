"""Inverse autoregressive flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .auto_reg_nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from .autoregressive import Autoregressive
from .conditional_flow import ConditionalFlow
from .given import Given


class AffineAutoregressive(Autoregressive):
    r"""The inverse autoregressive flow :math:`y = \mu(x) + \sigma(x) \odot x`.

    Component ``i`` of the mean and of the scale depend on the components of ``x`` before ``i``, so
    the Jacobian is triangular (Kingma et al. 2016, "Improved Variational Inference with Inverse
    Autoregressive Flow", eq. 10). A draw and its score cost one pass of the network; the inverse of
    any other value costs ``input_dim`` passes.

    Args:
        autoregressive_nn: A network from ``x`` to mean and log scale, with a ``get_permutation``.
        log_scale_min_clip: Lower bound of the log scale.
        log_scale_max_clip: Upper bound of the log scale.
        sigmoid_bias: Added to the logit of the scale in the stable form, to start near one.
        stable: Whether to use :math:`y = \sigma \odot x + (1 - \sigma) \odot \mu` with a scale in
            ``(0, 1)`` (their eq. 13 and 14), which can only contract.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = AffineAutoregressive(AutoRegressiveNN(4, [16]))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(
        self,
        autoregressive_nn: Any,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
        sigmoid_bias: float = 2.0,
        stable: bool = False,
    ) -> None:
        super().__init__(autoregressive_nn)
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip
        self.sigmoid_bias = sigmoid_bias
        self.stable = stable

    def _shift_and_log_scale(self, mean: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        if self.stable:
            logit = raw + self.sigmoid_bias
            return torch.sigmoid(-logit) * mean, logsigmoid(logit)
        return mean, raw.clamp(self.log_scale_min_clip, self.log_scale_max_clip)

    def _map(self, x: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shift_and_log_scale(*params)
        return shift + log_scale.exp() * x, log_scale

    def _unmap(self, y: Tensor, *params: Tensor) -> Tensor:
        shift, log_scale = self._shift_and_log_scale(*params)
        return (y - shift) * (-log_scale).exp()


class ConditionalAffineAutoregressive(ConditionalFlow):
    """An inverse autoregressive flow whose network also sees a context.

    Args:
        autoregressive_nn: A network from ``x`` and a context to mean and log scale.
        kwargs: Further arguments of :class:`AffineAutoregressive`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> network = ConditionalAutoRegressiveNN(4, 2, [16])
        >>> flow = ConditionalAffineAutoregressive(network).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, autoregressive_nn: Any, **kwargs: Any) -> None:
        super().__init__(autoregressive_nn)
        self.kwargs = kwargs

    def _flow(self, nn: Given) -> AffineAutoregressive:
        return AffineAutoregressive(nn, **self.kwargs)


def affine_autoregressive(
    input_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> AffineAutoregressive:
    """Return an inverse autoregressive flow with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, one of ``3 * input_dim + 1`` by default.
        kwargs: Further arguments of :class:`AffineAutoregressive`.
    """
    hidden_dims = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    return AffineAutoregressive(AutoRegressiveNN(input_dim, hidden_dims), **kwargs)


def conditional_affine_autoregressive(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> ConditionalAffineAutoregressive:
    """Return an inverse autoregressive flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, one of ``10 * input_dim`` by default.
        kwargs: Further arguments of :class:`AffineAutoregressive`.
    """
    hidden_dims = [10 * input_dim] if hidden_dims is None else hidden_dims
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, hidden_dims)
    return ConditionalAffineAutoregressive(network, **kwargs)
