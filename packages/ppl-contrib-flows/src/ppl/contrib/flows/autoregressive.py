"""Inverse autoregressive flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from .auto_reg_nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from .transform_module import TransformModule


class AffineAutoregressive(TransformModule):
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

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    event_dim = 1
    sign = +1
    autoregressive = True

    def __init__(
        self,
        autoregressive_nn: ConditionalAutoRegressiveNN,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
        sigmoid_bias: float = 2.0,
        stable: bool = False,
    ) -> None:
        super().__init__()
        self.arn = autoregressive_nn
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip
        self.sigmoid_bias = sigmoid_bias
        self.stable = stable

    def _shift_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.arn(x)
        if self.stable:
            logit = raw + self.sigmoid_bias
            return torch.sigmoid(-logit) * mean, logsigmoid(logit)
        return mean, raw.clamp(self.log_scale_min_clip, self.log_scale_max_clip)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shift_and_log_scale(x)
        return shift + log_scale.exp() * x, log_scale.sum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        places = torch.arange(y.shape[-1], device=y.device)
        permutation: Tensor = self.arn.get_permutation()
        for place in permutation:
            shift, log_scale = self._shift_and_log_scale(x)
            # one component at a time: the network has seen all that this one depends on
            x = torch.where(places == place, (y - shift) * (-log_scale).exp(), x)
        return x


def affine_autoregressive(
    input_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> AffineAutoregressive:
    """Return an inverse autoregressive flow with a network of its own.

    Args:
        input_dim: Size of the input.
        hidden_dims: Sizes of the hidden layers, one of ``10 * input_dim`` by default.
        kwargs: Further arguments of :class:`AffineAutoregressive`.
    """
    hidden_dims = [10 * input_dim] if hidden_dims is None else hidden_dims
    return AffineAutoregressive(AutoRegressiveNN(input_dim, hidden_dims), **kwargs)
