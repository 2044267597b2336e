"""Pairs of dependent angles."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.distribution.util import broadcast_shape
from ppl.ops.double import common_type, in_double

from . import constraints
from .circle import VonMises
from .expansion import expand_parameters, unexpanded
from .noise import standard_uniform
from .parameters import broadcast_parameters
from .rejection import first_accepted

_NODES = 512  # of the trapezoid rule on half a circle
_CELLS = 64  # of the envelope on half a circle
_ROUNDS = 40


class SineBivariateVonMises(TorchDistribution):
    """Two angles whose sines are correlated (Singh, Hnizdo and Demchuk 2002).

    The log density is ``k1 cos(phi) + k2 cos(psi) + correlation sin(phi) sin(psi)`` up to a
    constant, for angles relative to their locations. It has one mode if
    ``correlation ** 2 <= k1 * k2`` and else two.

    Angles may be any real numbers; draws lie in ``[-pi, pi)``. The normalizer is exact for
    concentrations up to about 10000.

    Args:
        phi_loc: Location of the first angle (radians).
        psi_loc: Location of the second.
        phi_concentration: Concentration of the first angle, positive.
        psi_concentration: Concentration of the second.
        correlation: Strength of the dependence, real; or
        weighted_correlation: This strength in units of
            ``sqrt(phi_concentration * psi_concentration)``; within -1 and 1 there is one mode.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ValueError: If not exactly one correlation is given.

    Example:
        >>> d = SineBivariateVonMises(0.0, 0.0, 2.0, 2.0, weighted_correlation=0.5)
        >>> d.log_prob(torch.zeros(2))
        tensor(-1.3849)
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "phi_loc": constraints.real,
        "psi_loc": constraints.real,
        "phi_concentration": constraints.positive,
        "psi_concentration": constraints.positive,
        "correlation": constraints.real,
    }
    support: constraints.Constraint = constraints.real_vector

    phi_loc: Tensor
    psi_loc: Tensor
    phi_concentration: Tensor
    psi_concentration: Tensor

    def __init__(
        self,
        phi_loc: Tensor | float,
        psi_loc: Tensor | float,
        phi_concentration: Tensor | float,
        psi_concentration: Tensor | float,
        correlation: Tensor | float | None = None,
        weighted_correlation: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (correlation is None) == (weighted_correlation is None):
            raise ValueError(
                "SineBivariateVonMises: expected exactly one of correlation and "
                "weighted_correlation"
            )
        strength = weighted_correlation if correlation is None else correlation
        parameters = broadcast_parameters(
            phi_loc, psi_loc, phi_concentration, psi_concentration, strength
        )
        self.phi_loc, self.psi_loc, self.phi_concentration, self.psi_concentration = parameters[:4]
        unit = (self.phi_concentration * self.psi_concentration).sqrt()
        self.correlation: Tensor = parameters[4] * unit if correlation is None else parameters[4]
        super().__init__(self.phi_loc.shape, torch.Size([2]), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, **arg_shapes: tuple[int, ...]) -> tuple[torch.Size, torch.Size]:
        return torch.Size(broadcast_shape(*arg_shapes.values())), torch.Size([2])

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @property
    def mean(self) -> Tensor:
        """Circular mean of both angles."""
        loc = torch.stack([self.phi_loc, self.psi_loc], -1)
        return torch.remainder(loc + math.pi, 2 * math.pi) - math.pi

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        density = _log_density(
            value,
            torch.stack(torch.broadcast_tensors(self.phi_loc, self.psi_loc), -1),
            self.phi_concentration,
            self.psi_concentration,
            self.correlation,
            self._log_constant(),
        )
        return density.to(common_type((value, self.phi_loc)))

    @property
    def norm_const(self) -> Tensor:
        """Log of the integral of the density without its constant, shape ``batch``."""
        return self._log_constant().to(self.phi_loc.dtype)

    def _log_constant(self) -> Tensor:
        """Return it in double precision, since a sharp density is a small difference from it."""
        constant: Tensor = unexpanded(self)._log_normalizer()
        return constant.expand(self.batch_shape)

    def _log_normalizer(self) -> Tensor:
        """Return the log integral, by the trapezoid rule over the first angle.

        For a smooth periodic integrand it converges exponentially. The integrand is even, so half
        the circle is enough. The nodes are images under a map of the circle that is as steep as the
        peak is narrow.
        """
        double = self._replace_parameters(torch.float64)
        step = math.pi / _NODES
        angle = torch.arange(_NODES + 1, dtype=torch.float64, device=self.phi_loc.device) * step
        weight = torch.full_like(angle, 2 * step)
        weight[0] = weight[-1] = step
        narrow = double._narrowness().detach().unsqueeze(-1)
        half = angle / 2
        phi = 2 * torch.atan2(narrow * half.sin(), half.cos())
        slope = narrow / (half.cos().square() + (narrow * half.sin()).square())
        return (double._log_marginal(phi) + (weight * slope).log()).logsumexp(-1)

    def _narrowness(self) -> Tensor:
        """Return some deviations of the first angle where it has one peak, at most 1, else 1."""
        phi, psi = self.phi_concentration, self.psi_concentration
        curvature = phi - self.correlation.square() / psi
        width = 8 / torch.maximum(curvature, phi.sqrt()).sqrt()
        return torch.where(curvature > 0, width.clamp(max=1.0), 1.0)

    def _replace_parameters(self, dtype: torch.dtype) -> SineBivariateVonMises:
        new = copy.copy(self)
        for name in ("phi_loc", "psi_loc", "phi_concentration", "psi_concentration", "correlation"):
            setattr(new, name, getattr(self, name).to(dtype))
        return new

    def _log_marginal(self, phi: Tensor) -> Tensor:
        """Return the log of the unnormalized density of the first angle, ``(*batch, node)``."""
        z = self._resultant(phi.sin())
        log_i0: Tensor = torch.special.i0e(z).log() + z
        return self.phi_concentration.unsqueeze(-1) * phi.cos() + math.log(2 * math.pi) + log_i0

    def _resultant(self, sine: Tensor) -> Tensor:
        """Return the concentration of the second angle, given the sine of the first."""
        shift = self.correlation.unsqueeze(-1) * sine
        return torch.hypot(self.psi_concentration.unsqueeze(-1), shift)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return a draw of the first angle by rejection, and of the second given the first.

        The second is von Mises (Singh et al. 2002, section 2).
        """
        with torch.no_grad():
            shape = shape_of_samples(self, sample_shape) + self.batch_shape
            phi = self._sample_marginal(shape)
            shift = self.correlation * phi.sin()
            loc = self.psi_loc + torch.atan2(shift, self.psi_concentration)
            psi = VonMises(loc, torch.hypot(self.psi_concentration, shift), validate_args=False)
            phi = torch.remainder(phi + self.phi_loc + math.pi, 2 * math.pi) - math.pi
            return torch.stack([phi, psi.sample()], -1)

    def _sample_marginal(self, shape: torch.Size) -> Tensor:
        """Return draws of the first angle relative to its location.

        The envelope is constant on cells of half a circle, which are refined where it is high, so
        that it soon touches the density everywhere.
        """
        like = self.phi_loc.expand(shape)
        edges = torch.linspace(0, math.pi, _CELLS + 1, dtype=like.dtype, device=like.device)
        edges = edges.expand(self.batch_shape + edges.shape)
        for _ in range(3):
            edges = _refine(edges, self._log_bound(edges))
        bound = self._log_bound(edges)
        cumulative = _masses(edges, bound).cumsum(-1)

        def propose() -> tuple[Tensor, Tensor]:
            u, v, w, side = (standard_uniform(shape, like).unsqueeze(-1) for _ in range(4))
            cell = (u > cumulative).sum(-1, keepdim=True).clamp(max=_CELLS - 1)
            left, right, height = (
                t.expand(*shape, _CELLS).gather(-1, cell)
                for t in (edges[..., :-1], edges[..., 1:], bound)
            )
            phi = torch.lerp(left, right, v)
            accepted = w.log() < self._log_marginal(phi) - height
            return torch.where(side < 0.5, -phi, phi).squeeze(-1), accepted.squeeze(-1)

        return first_accepted(propose, _ROUNDS)

    def _log_bound(self, edges: Tensor) -> Tensor:
        """Return the greatest log density on each cell, or more, shape ``(*batch, cell)``.

        The log density is concave in the cosine of the angle, so that tangents at both ends of a
        cell bound it. Its derivative there is ``k1 - correlation^2 cos(phi) A(z) / z`` with the
        ratio ``A`` of Bessel functions.
        """
        density, cosine = self._log_marginal(edges), edges.cos()
        z = self._resultant(edges.sin())
        ratio = torch.special.i1e(z) / torch.special.i0e(z) / z
        slope = self.phi_concentration.unsqueeze(-1) - (
            self.correlation.square().unsqueeze(-1) * cosine * ratio
        )
        width = cosine[..., :-1] - cosine[..., 1:]
        from_zero = density[..., :-1] + (-slope[..., :-1]).clamp(min=0.0) * width
        from_pi = density[..., 1:] + slope[..., 1:].clamp(min=0.0) * width
        return torch.minimum(from_zero, from_pi)


def _masses(edges: Tensor, log_height: Tensor) -> Tensor:
    """Return the probability of each cell of a piecewise constant density."""
    return (log_height + edges.diff(dim=-1).log()).softmax(-1)


def _refine(edges: Tensor, log_height: Tensor) -> Tensor:
    """Return as many edges at quantiles of a piecewise constant density.

    A tenth of uniform mass in each cell keeps them apart.
    """
    mass = 0.9 * _masses(edges, log_height) + 0.1 / _CELLS
    level = torch.nn.functional.pad(mass.cumsum(-1), (1, 0))
    wanted = torch.linspace(0, 1, _CELLS + 1, dtype=edges.dtype, device=edges.device)
    cell = (wanted.unsqueeze(-1) >= level.unsqueeze(-2)).sum(-1).clamp(1, _CELLS) - 1
    fraction = (wanted - level.gather(-1, cell)) / mass.gather(-1, cell)
    width = edges.diff(dim=-1).gather(-1, cell)
    return edges.gather(-1, cell) + fraction.clamp(0, 1) * width


@in_double
def _log_density(
    value: Tensor, loc: Tensor, first: Tensor, second: Tensor, correlation: Tensor, constant: Tensor
) -> Tensor:
    phi, psi = (value - loc).unbind(-1)
    peaks = first * phi.cos() + second * psi.cos() + correlation * phi.sin() * psi.sin()
    return peaks - constant
