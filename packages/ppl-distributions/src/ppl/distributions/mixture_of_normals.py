"""Mixtures of diagonal normals over vectors, with pathwise gradients.

A draw moves with the parameters along a velocity field that moves the density right (Jankowiak and
Karaletsos 2019): with location and scale of a component as a draw of it would, weighted by the
probability that it made the draw; with a weight along a flow from every other component to that of
the weight. The latter is what the classes here differ in. Gradients can be taken once, and their
variance is large if components are far apart: mass has to cross a void.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.distribution.util import broadcast_shape

from .categorical import Categorical
from .expansion import expand_parameters
from .noise import standard_normal

_LOG_SQRT_2_PI = math.log(2 * math.pi) / 2


class _MixtureOfNormals(TorchDistribution):
    """What the mixtures share: ``k`` components over vectors of size ``n``."""

    has_rsample = True
    support: constraints.Constraint = constraints.real_vector

    component_logits: Tensor  # (*batch, k)

    @property
    @abstractmethod
    def _means(self) -> Tensor:
        """Means of the components, shape broadcastable to ``(*batch, k, n)``."""

    @property
    @abstractmethod
    def _scales(self) -> Tensor:
        """Deviations of the components, shape broadcastable to ``(*batch, k, n)``."""

    @abstractmethod
    def _flows(self, z: Tensor, log_density: Tensor) -> Tensor:
        """Return the flow of probability from each component to each other one at ``z``.

        Its divergence is the density of the first less that of the second; it is divided by the
        density of the mixture, of which the log is given.

        Returns:
            Shape ``(*sample, *batch, k, k, n)``: first, second, direction.
        """

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._log_joint(value).logsumexp(-1)

    def _log_joint(self, value: Tensor) -> Tensor:
        """Return the log weight of each component plus its log density, shape ``(*, k)``."""
        density = _log_normal(value.unsqueeze(-2), self._means, self._scales).sum(-1)
        return self.component_logits.log_softmax(-1) + density

    @property
    def mean(self) -> Tensor:
        return self._average(self._means)

    @property
    def variance(self) -> Tensor:
        return self._average(self._means.square() + self._scales.square()) - self.mean.square()

    def _average(self, x: Tensor) -> Tensor:
        """Return the mean over components, ``(*batch, k, n)`` to ``(*batch, n)``."""
        return (self.component_logits.softmax(-1).unsqueeze(-1) * x).sum(-2)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            z = self._draw(shape_of_samples(self, sample_shape))
        if not torch.is_grad_enabled():
            return z
        return z + self._move_with_components(z) + self._move_with_weights(z)

    def _draw(self, sample_shape: torch.Size) -> Tensor:
        """Return a draw without gradients."""
        component = Categorical(logits=self.component_logits).sample(sample_shape)
        noise = standard_normal(self._extended_shape(sample_shape), self.component_logits)
        chosen = component.unsqueeze(-1) == torch.arange(
            self.component_logits.shape[-1], device=noise.device
        )
        chosen = chosen.unsqueeze(-1)  # (*sample, *batch, k, 1)
        every = self._means + self._scales * noise.unsqueeze(-2)
        return torch.where(chosen, every, 0.0).sum(-2)

    def _move_with_components(self, z: Tensor) -> Tensor:
        """Return zero, with the derivative of ``z`` by locations and scales."""
        means, scales = self._means, self._scales
        moved = means + scales * ((z.unsqueeze(-2) - means) / scales).detach()
        responsibility = self._log_joint(z).softmax(-1).unsqueeze(-1).detach()
        return (responsibility * _change(moved)).sum(-2)

    def _move_with_weights(self, z: Tensor) -> Tensor:
        """Return zero, with the derivative of ``z`` by the logits of the components."""
        with torch.no_grad():
            weights = self.component_logits.softmax(-1).unsqueeze(-1)
            flows = self._flows(z, self._log_joint(z).logsumexp(-1))
            velocity = weights * (weights.unsqueeze(-2) * flows).sum(-3)
        return (velocity * _change(self.component_logits).unsqueeze(-1)).sum(-2)


class MixtureOfDiagNormals(_MixtureOfNormals):
    """Mixture of ``k`` normals over vectors of size ``n`` with diagonal covariances.

    Args:
        locs: Means, shape ``(*batch, k, n)``.
        coord_scale: Deviations, positive, shape ``(*batch, k, n)``.
        component_logits: Logits of the weights, shape ``(*batch, k)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "locs": constraints.independent(constraints.real, 2),
        "coord_scale": constraints.independent(constraints.positive, 2),
        "component_logits": constraints.real_vector,
    }

    def __init__(
        self,
        locs: Tensor,
        coord_scale: Tensor,
        component_logits: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        shape = broadcast_shape(locs.shape, coord_scale.shape, (*component_logits.shape, 1))
        self.locs: Tensor = locs.expand(shape)
        self.coord_scale: Tensor = coord_scale.expand(shape)
        self.component_logits: Tensor = component_logits.expand(shape[:-1])
        super().__init__(
            torch.Size(shape[:-2]), torch.Size(shape[-1:]), validate_args=validate_args
        )

    @property
    def _means(self) -> Tensor:
        return self.locs

    @property
    def _scales(self) -> Tensor:
        return self.coord_scale

    def _flows(self, z: Tensor, log_density: Tensor) -> Tensor:
        """Exchange the coordinates of one component for those of the other, one at a time."""
        z = z.unsqueeze(-2)
        log_normal = _log_normal(z, self.locs, self.coord_scale)  # (*, k, n)
        before = (log_normal.cumsum(-1) - log_normal).unsqueeze(-3)
        after = log_normal.sum(-1, keepdim=True) - log_normal.cumsum(-1)
        standard = (z - self.locs) / self.coord_scale
        gap = _cdf_gap(standard.unsqueeze(-2), standard.unsqueeze(-3))
        return gap * (after.unsqueeze(-2) + before - log_density[..., None, None, None]).exp()


class MixtureOfDiagNormalsSharedCovariance(_MixtureOfNormals):
    """Mixture of ``k`` normals over vectors of size ``n`` with one diagonal covariance.

    Its gradients vary less than those of :class:`MixtureOfDiagNormals`: mass moves straight from
    one mean to another.

    Args:
        locs: Means, shape ``(*batch, k, n)``.
        coord_scale: Deviations that the components share, positive, shape ``(*batch, n)``.
        component_logits: Logits of the weights, shape ``(*batch, k)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "locs": constraints.independent(constraints.real, 2),
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
    }

    def __init__(
        self,
        locs: Tensor,
        coord_scale: Tensor,
        component_logits: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        shape = broadcast_shape(
            locs.shape, coord_scale.unsqueeze(-2).shape, (*component_logits.shape, 1)
        )
        self.locs: Tensor = locs.expand(shape)
        self.coord_scale: Tensor = coord_scale.expand(shape[:-2] + shape[-1:])
        self.component_logits: Tensor = component_logits.expand(shape[:-1])
        super().__init__(
            torch.Size(shape[:-2]), torch.Size(shape[-1:]), validate_args=validate_args
        )

    @property
    def _means(self) -> Tensor:
        return self.locs

    @property
    def _scales(self) -> Tensor:
        return self.coord_scale.unsqueeze(-2)

    def _flows(self, z: Tensor, log_density: Tensor) -> Tensor:
        """Shift one component to the other along the line between their whitened means."""
        means = self.locs / self._scales
        line = means.unsqueeze(-3) - means.unsqueeze(-2)  # (*, k, k, n), from first to second
        line = line / line.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny)
        deviation = (z / self.coord_scale).unsqueeze(-2) - means  # (*, k, n)
        first = (line * deviation.unsqueeze(-2)).sum(-1)  # coordinates on the line, (*, k, k)
        second = (line * deviation.unsqueeze(-3)).sum(-1)
        log_normal = _log_normal(z.unsqueeze(-2), self.locs, self._scales).sum(-1, keepdim=True)
        log_across = log_normal + first.square() / 2 + _LOG_SQRT_2_PI
        speed = _cdf_gap(first, second) * (log_across - log_density[..., None, None]).exp()
        flows: Tensor = speed.unsqueeze(-1) * line * self.coord_scale[..., None, None, :]
        return flows


class GaussianScaleMixture(_MixtureOfNormals):
    """Mixture of ``k`` normals with mean zero whose covariances are multiples of one another.

    Component ``i`` has deviation ``component_scale[i] * coord_scale[d]`` in direction ``d``.

    Args:
        coord_scale: Deviations that the components share, positive, shape ``(*batch, n)``.
        component_logits: Logits of the weights, shape ``(*batch, k)``.
        component_scale: A positive factor for each component, shape ``(*batch, k)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
        "component_scale": constraints.independent(constraints.positive, 1),
    }

    def __init__(
        self,
        coord_scale: Tensor,
        component_logits: Tensor,
        component_scale: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        components = broadcast_shape(component_logits.shape, component_scale.shape)
        batch_shape = torch.Size(broadcast_shape(coord_scale.shape[:-1], components[:-1]))
        self.coord_scale: Tensor = coord_scale.expand(batch_shape + coord_scale.shape[-1:])
        self.component_logits: Tensor = component_logits.expand(batch_shape + components[-1:])
        self.component_scale: Tensor = component_scale.expand(batch_shape + components[-1:])
        super().__init__(batch_shape, coord_scale.shape[-1:], validate_args=validate_args)

    @property
    def _means(self) -> Tensor:
        return torch.zeros_like(self.coord_scale).unsqueeze(-2)

    @property
    def _scales(self) -> Tensor:
        return self.component_scale.unsqueeze(-1) * self.coord_scale.unsqueeze(-2)

    def _flows(self, z: Tensor, log_density: Tensor) -> Tensor:
        """Swell one component to the other along rays: what leaves a ball crosses its surface."""
        half = z.new_tensor(z.shape[-1] / 2)
        whitened = z / self.coord_scale
        radius = whitened.norm(dim=-1, keepdim=True)  # (*, 1)
        level = (radius / self.component_scale).square() / 2
        inside = torch.special.gammainc(half, level)
        outside = torch.special.gammaincc(half, level)
        gap = _gap(
            inside.unsqueeze(-1), outside.unsqueeze(-1), inside.unsqueeze(-2), outside.unsqueeze(-2)
        )
        log_volume = self.coord_scale.log().sum(-1, keepdim=True)
        log_surface = math.log(2) + half * math.log(math.pi) - half.lgamma()
        log_surface = log_surface + (2 * half - 1) * radius.log() + log_volume
        speed = gap * (-log_surface - log_density.unsqueeze(-1)).exp().unsqueeze(-1)
        ray = z / radius
        flows: Tensor = speed.unsqueeze(-1) * ray[..., None, None, :]
        return flows


def _log_normal(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return the log density of a normal, elementwise."""
    return -((x - mean) / scale).square() / 2 - scale.log() - _LOG_SQRT_2_PI


def _change(x: Tensor) -> Tensor:
    """Return zero, with the derivative of ``x``."""
    return x - x.detach()


def _cdf_gap(a: Tensor, b: Tensor) -> Tensor:
    """Return ``Phi(a) - Phi(b)`` for the standard normal."""
    ndtr = torch.special.ndtr
    return _gap(ndtr(a), ndtr(-a), ndtr(b), ndtr(-b))


def _gap(first: Tensor, rest: Tensor, second: Tensor, other_rest: Tensor) -> Tensor:
    """Return the difference of two probabilities, from their complements if these are smaller."""
    return torch.where(first + second > 1, other_rest - rest, first - second)
