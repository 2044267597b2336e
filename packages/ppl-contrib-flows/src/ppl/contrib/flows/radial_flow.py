"""Radial flows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .conditional_flow import ConditionalFlow
from .dense_nn import DenseNN
from .given import Given
from .parametrized import Parametrized


class ConditionedRadial(Parametrized):
    r"""The radial flow :math:`y = x + \beta (x - x_0) / (\alpha + |x - x_0|)`, of given parameters.

    It pulls to a centre or pushes from it (Rezende and Mohamed 2015, "Variational Inference with
    Normalizing Flows", eq. 14). With :math:`\alpha = \mathrm{softplus}(\alpha')` and
    :math:`\beta = -\alpha + \mathrm{softplus}(\beta')` it is invertible (appendix A.2), and the
    distance from the centre before it is the positive root of a quadratic equation.

    Args:
        params: Returns the centre, :math:`\alpha'` and :math:`\beta'`, shapes ``(*batch, n)`` and
            twice ``(*batch, 1)``.
    """

    def _invertible(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the centre, ``alpha > 0`` and ``alpha + beta > 0``."""
        centre, alpha_prime, beta_prime = self._params()
        return centre, softplus(alpha_prime), softplus(beta_prime)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        centre, alpha, total = self._invertible()
        distance = _norm(x - centre)
        pull = (total - alpha) / (alpha + distance)  # beta h
        # along the radius the slope is 1 + alpha beta h^2, across it 1 + beta h; as sums of
        # positive terms, for both come near zero at the edge of what is invertible
        log_below = (alpha + distance).log()
        radial = (distance * (distance + 2 * alpha) + alpha * total).log() - 2 * log_below
        across = (total + distance).log() - log_below
        log_det = radial + (x.shape[-1] - 1) * across
        return x + pull * (x - centre), log_det.squeeze(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        centre, alpha, total = self._invertible()
        distance = _norm(y - centre)
        # the positive root r of r^2 + (total - distance) r - alpha distance = 0
        half = (distance - total) / 2
        spread = (half.square() + alpha * distance).sqrt()
        before = torch.where(
            half > 0, half + spread, alpha * distance / (spread - half.clamp(max=0))
        )
        return centre + (y - centre) * (alpha + before) / (total + before)


class Radial(ConditionedRadial):
    r"""The radial flow :math:`y = x + \beta (x - x_0) / (\alpha + |x - x_0|)`, learnable.

    Args:
        input_dim: Size of the input.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = Radial(4)
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.x0: torch.nn.Parameter = torch.nn.Parameter(torch.empty(input_dim))
        self.alpha_prime: torch.nn.Parameter = torch.nn.Parameter(torch.empty(1))
        self.beta_prime: torch.nn.Parameter = torch.nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, small ones."""
        bound = 1 / math.sqrt(self.input_dim)
        for parameter in (self.x0, self.alpha_prime, self.beta_prime):
            torch.nn.init.uniform_(parameter, -bound, bound)

    def _params(self) -> tuple[Tensor, ...]:
        return self.x0, self.alpha_prime, self.beta_prime


class ConditionalRadial(ConditionalFlow):
    r"""A radial flow whose parameters a network computes from a context.

    Args:
        nn: A network from a context to the centre, :math:`\alpha'` and :math:`\beta'`, of sizes
            ``n``, 1 and 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> network = DenseNN(2, [16], param_dims=[4, 1, 1])
        >>> flow = ConditionalRadial(network).condition(torch.ones(2))
        >>> x = torch.randn(4)
        >>> torch.allclose(flow.inv(flow(x).detach()), x, atol=1e-5)
        True
    """

    def _flow(self, nn: Given) -> ConditionedRadial:
        return ConditionedRadial(nn)


def radial(input_dim: int) -> Radial:
    """Return a radial flow.

    Args:
        input_dim: Size of the input.
    """
    return Radial(input_dim)


def conditional_radial(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None
) -> ConditionalRadial:
    """Return a radial flow, given a context, with a network of its own.

    Args:
        input_dim: Size of the input.
        context_dim: Size of the context.
        hidden_dims: Sizes of the hidden layers, two of ``10 * input_dim`` by default.
    """
    hidden_dims = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalRadial(DenseNN(context_dim, hidden_dims, [input_dim, 1, 1]))


def _norm(x: Tensor) -> Tensor:
    """Return the length of vectors, with the derivative zero at the origin."""
    square = x.square().sum(-1, keepdim=True)
    is_zero = square == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, square).sqrt())
