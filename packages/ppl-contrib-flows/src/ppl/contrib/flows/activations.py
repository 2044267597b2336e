"""Activations of monotone networks, by name: transforms of the line, and mixtures of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions.transforms import SigmoidTransform, Transform
from torch.nn.functional import logsigmoid

from ppl.distributions.transforms.activations import (
    ELUTransform,
    LeakyReLUTransform,
    TanhTransform,
)
from ppl.errors import ArgumentError

Mixed = tuple[Tensor, Tensor, Tensor]

ACTIVATIONS: dict[str, Callable[[], Transform]] = {
    "ELU": ELUTransform,
    "LeakyReLU": LeakyReLUTransform,
    "sigmoid": SigmoidTransform,
    "tanh": TanhTransform,
}


def activation(name: str) -> Transform:
    """Return an activation as a transform of the line.

    Raises:
        ArgumentError: If there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ArgumentError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def mixture(name: str, log_weights: Tensor, pre: Tensor) -> Mixed:
    """Return a mean of activations, taken back through the activation.

    That is ``y = T.inv(D)`` with ``D = sum(weights * T(pre))`` over the last dimension but one.
    What would saturate is kept as a logarithm, so that ``y`` is finite however large ``pre`` is.

    Args:
        name: The name of the activation.
        log_weights: Logarithms of weights with the sum one, shape ``(*batch, units, n)``.
        pre: Arguments of the activation, of the same shape.
    Returns:
        ``y`` and the log slope ``dy/dD``, shape ``(*batch, n)``, and the log slopes of the
        activation at ``pre``.
    """
    return _MIXTURES[name](log_weights, pre)


def _sigmoid(log_weights: Tensor, pre: Tensor) -> Mixed:
    log_on = (log_weights + logsigmoid(pre)).logsumexp(-2)
    log_off = (log_weights + logsigmoid(-pre)).logsumexp(-2)
    return log_on - log_off, -log_on - log_off, logsigmoid(pre) + logsigmoid(-pre)


def _tanh(log_weights: Tensor, pre: Tensor) -> Mixed:
    # tanh(x) = 2 sigmoid(2 x) - 1, with half the logit as its inverse
    y, log_slope, log_slopes = _sigmoid(log_weights, 2 * pre)
    return y / 2, log_slope - math.log(4), log_slopes + math.log(4)


def _elu(log_weights: Tensor, pre: Tensor) -> Mixed:
    above = torch.where(pre > 0, pre.clamp(min=0).log1p(), pre)  # log(1 + elu(pre))
    log_mean = (log_weights + above).logsumexp(-2)  # log(1 + D)
    mean = (log_weights.exp() * torch.nn.functional.elu(pre)).sum(-2)
    y = torch.where(log_mean > 0, mean, log_mean)
    return y, -log_mean.clamp(max=0), pre.clamp(max=0)


def _leaky_relu(log_weights: Tensor, pre: Tensor) -> Mixed:
    leak = LeakyReLUTransform()
    mean = (log_weights.exp() * leak(pre)).sum(-2)
    y = leak._inverse(mean)
    return y, -leak.log_abs_det_jacobian(y, mean), leak.log_abs_det_jacobian(pre, mean)


_MIXTURES: dict[str, Callable[[Tensor, Tensor], Mixed]] = {
    "ELU": _elu,
    "LeakyReLU": _leaky_relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
}
