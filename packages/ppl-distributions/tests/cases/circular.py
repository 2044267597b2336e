"""Distributions over angles and directions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import scipy.integrate
import scipy.special
import scipy.stats as st
import torch
from torch import tensor
from torch.distributions.transforms import ComposeTransform, Transform

import ppl.distributions as dist
from ppl.distributions import biject_to, constraints
from ppl.distributions.testing import Case

from .values import POSITIVE, REAL, at

ANGLES = biject_to(constraints.independent(constraints.circular, 1))


class FromAngle(Transform):
    """The point of the unit circle at an angle."""

    domain = constraints.independent(constraints.circular, 1)
    codomain = constraints.sphere
    bijective = True

    def _call(self, x):
        return torch.cat([x.cos(), x.sin()], -1)

    def _inverse(self, y):
        return torch.atan2(y[..., 1:], y[..., :1])

    def log_abs_det_jacobian(self, x, y):
        return torch.zeros_like(x[..., 0])


class FromHeightAndLongitude(Transform):
    """The point of the unit sphere at a height and a longitude; areas are kept (Archimedes)."""

    domain = constraints.independent(constraints.real, 1)
    codomain = constraints.sphere
    bijective = True

    def _call(self, x):
        height, longitude = x[..., 0].tanh(), math.pi * x[..., 1].tanh()
        radius = 1 / x[..., 0].cosh()
        return torch.stack([radius * longitude.cos(), radius * longitude.sin(), height], -1)

    def _inverse(self, y):
        longitude = torch.atan2(y[..., 1], y[..., 0])
        return torch.stack([y[..., 2].atanh(), (longitude / math.pi).atanh()], -1)

    def log_abs_det_jacobian(self, x, y):
        return math.log(math.pi) - 2 * x.cosh().log().sum(-1)


def projected_normal(mean):
    """Return the density of directions, by quadrature over the length."""

    def logpdf(x):
        joint = st.multivariate_normal(mean, np.eye(len(mean)))
        length = lambda r: r ** (len(mean) - 1) * joint.pdf(r * x)  # noqa: E731
        return np.log(scipy.integrate.quad(length, 0, 12, epsabs=0, epsrel=1e-10)[0])

    return SimpleNamespace(logpdf=logpdf)


def sine_bivariate(phi_loc, psi_loc, k1, k2, correlation):
    """Return the density with the series of Singh et al. (2002) for its normalizer."""
    i = np.arange(60)
    series = scipy.special.binom(2 * i, i) * (correlation**2 / (4 * k1 * k2)) ** i
    series = series * scipy.special.iv(i, k1) * scipy.special.iv(i, k2)

    def logpdf(x):
        phi, psi = x[0] - phi_loc, x[1] - psi_loc
        kernel = k1 * np.cos(phi) + k2 * np.cos(psi) + correlation * np.sin(phi) * np.sin(psi)
        return kernel - np.log(4 * np.pi**2 * series.sum())

    return SimpleNamespace(logpdf=logpdf)


def sine_skewed(loc, concentration, skewness):
    def logpdf(x):
        base = st.vonmises(concentration, loc).logpdf(x).sum()
        return base + np.log1p((skewness * np.sin(x - loc)).sum())

    return SimpleNamespace(logpdf=logpdf)


CASES = [
    Case(
        "ProjectedNormal_2",
        dist.ProjectedNormal,
        at(concentration=tensor([[0.5, -1.0], [0.0, 2.0]])),
        projected_normal,
        coordinates=lambda d: ComposeTransform([ANGLES, FromAngle()]),
        has_moments=False,
    ),
    Case(
        "ProjectedNormal_3",
        dist.ProjectedNormal,
        at(concentration=tensor([[0.5, -1.0, 0.2], [0.3, 0.0, 2.0]])),
        projected_normal,
        coordinates=lambda d: FromHeightAndLongitude(),
        has_moments=False,
    ),
    Case(
        "VonMises3D",
        dist.VonMises3D,
        at(concentration=tensor([[0.5, -1.0, 0.2], [0.3, 0.0, 2.0]])),
        coordinates=lambda d: FromHeightAndLongitude(),
        has_moments=False,
    ),
    Case(
        "SineBivariateVonMises",
        dist.SineBivariateVonMises,
        at(
            phi_loc=REAL,
            psi_loc=tensor([3.0, 0.0]),
            phi_concentration=POSITIVE,
            psi_concentration=tensor([1.5, 4.0]),
            correlation=tensor([0.7, -5.0]),
        ),
        sine_bivariate,
        coordinates=lambda d: ANGLES,
        has_moments=False,
    ),
    Case(
        "SineSkewed",
        lambda loc, concentration, skewness: dist.SineSkewed(
            dist.VonMises(loc, concentration).to_event(1), skewness
        ),
        at(
            loc=tensor([[-0.7, 3.0], [1.3, 0.0]]),
            concentration=tensor([[0.8, 2.1], [1.0, 3.0]]),
            skewness=tensor([[0.5, -0.4], [-0.9, 0.0]]),
        ),
        sine_skewed,
        coordinates=lambda d: ANGLES,
        has_moments=False,
    ),
]
